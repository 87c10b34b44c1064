"""Compile the layers of an encoder: fewer kernels, which read and write less memory between them.

Each layer is compiled, not the model: layers of one kind share a compilation for any number of texts and
tokens, and what differs from task to task (heads, masked tokens, pooling) stays eager.

Does not guarantee:

- the results of eager mode: compiled dropout draws other random numbers
- the bits of an interrupted run on a GPU, where kernels are tuned to the first batch that a process sees
- the same bits with another compiler

Source: Ansel et al., PyTorch 2, ASPLOS 2024.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch._dynamo.exc import TorchDynamoException
from transformers import PreTrainedModel

from bertline.encoder.layers import layer_stack
from bertline.params.training import Training

COMPILE_OPTIONS: dict[str, Any] = {"dynamic": True, "options": {"deterministic": True}}
"""Arguments of torch.compile."""
MAX_PROGRAMS = 64
"""Compilations of a layer's code: trained or frozen, local attention or not, and so on. torch allows 8."""


def compile_layers(model: PreTrainedModel) -> None:
    """Have each layer of `model` compiled when it is first called; what is saved has no trace of it.

    Raises:
        ValueError: the encoder has no stack of layers.
    """
    for layer in model.get_submodule(layer_stack(model)):
        layer.compile(**COMPILE_OPTIONS)


@contextmanager
def compiling(params: Training) -> Iterator[None]:
    """Let layers be compiled within the block, if `params` ask for it.

    Raises:
        ValueError: a layer cannot be compiled here: a compiler is missing, for example.
    """
    if not params.compile:
        yield
        return
    try:
        # Past the limit torch would run layers eagerly, and which ones would depend on interruptions.
        with torch._dynamo.config.patch(recompile_limit=MAX_PROGRAMS, fail_on_recompile_limit_hit=True):
            yield
    except TorchDynamoException as error:
        lines = str(getattr(error, "inner_exception", error)).strip().splitlines()
        reason = next((line for line in lines if "error:" in line), lines[0])
        raise ValueError(
            f"compile is true, but the layers cannot be compiled here; set it to false: {reason}"
        ) from error
