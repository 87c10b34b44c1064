"""Compile the layers of an encoder: fewer kernels, with less to read and to write between them.

The layers one by one, not the model: all of a stack share one compilation, of any number of texts and tokens,
and what differs from task to task (heads, masked tokens, pooling) stays as it is. With dropout, results are
those of other random numbers than without. Source: Ansel et al., PyTorch 2, ASPLOS 2024.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch._dynamo.exc import TorchDynamoException
from transformers import PreTrainedModel

from bertline.modeling.strategies import layer_stack


def compile_layers(model: PreTrainedModel) -> None:
    """Have each layer of `model` compiled when it is first called; what is saved has no trace of it.

    Raises:
        ValueError: the encoder has no stack of layers.
    """
    deterministic = {"deterministic": True} if hasattr(torch._inductor.config, "deterministic") else {}
    for layer in model.get_submodule(layer_stack(model)):
        layer.compile(dynamic=True, options=deterministic)


@contextmanager
def compilation_errors() -> Iterator[None]:
    """Raise what says that a layer cannot be compiled here, such as a missing compiler, as ValueError."""
    try:
        yield
    except TorchDynamoException as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"compile is true, but the layers cannot be compiled here ({reason}); set it to false"
        ) from error
