"""Compile the layers of an encoder: fewer kernels, with less to read and to write between them.

The layers one by one, not the model: those of one kind share a compilation, of any number of texts and
tokens, and what differs from task to task (heads, masked tokens, pooling) stays as it is. With dropout,
results are those of other random numbers than without. Does not guarantee a run's bits on a GPU once it was
interrupted: there, programs are tuned to the first batch that a process sees. Nor with another compiler.
Source: Ansel et al., PyTorch 2, ASPLOS 2024.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch._dynamo.exc import TorchDynamoException
from transformers import PreTrainedModel

from bertline.modeling.strategies import layer_stack
from bertline.params.training import Training

HOW: dict[str, Any] = {"dynamic": True, "options": {"deterministic": True}}
"""What torch.compile is told."""
PROGRAMS = 64
"""Of a layer's code: trained or frozen, attending locally or not, and so on. torch's own limit is 8."""


def compile_layers(model: PreTrainedModel) -> None:
    """Have each layer of `model` compiled when it is first called; what is saved has no trace of it.

    Raises:
        ValueError: the encoder has no stack of layers.
    """
    for layer in model.get_submodule(layer_stack(model)):
        layer.compile(**HOW)


@contextmanager
def compiling(params: Training) -> Iterator[None]:
    """Let layers be compiled within the block, if that is asked for.

    Raises:
        ValueError: a layer cannot be compiled here: a compiler is missing, for example.
    """
    if not params.compile:
        yield
        return
    try:
        # Past the limit torch would go on without compiling: which layers, would depend on interruptions.
        with torch._dynamo.config.patch(recompile_limit=PROGRAMS, fail_on_recompile_limit_hit=True):
            yield
    except TorchDynamoException as error:
        lines = str(getattr(error, "inner_exception", error)).strip().splitlines()
        reason = next((line for line in lines if "error:" in line), lines[0])
        raise ValueError(
            f"compile is true, but the layers cannot be compiled here; set it to false: {reason}"
        ) from error
