"""The last linear layer of a classifier: what makes the logits, and the states that it reads.

Any architecture of transformers will do: the layer is found by a forward pass, not by its name.
Shape suffixes: S sequences, C classes, H the width of the states.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel


def find_last_linear(model: PreTrainedModel) -> nn.Linear | None:
    """Return the linear layer with an output for each class that ran last, or None.

    Runs `model` once on four tokens, padded or not. Draws no random numbers.
    """
    called: list[nn.Linear] = []
    hooks = [
        module.register_forward_hook(lambda module, *_: called.append(module))
        for module in model.modules()
        if isinstance(module, nn.Linear) and module.out_features == model.num_labels
    ]
    training = model.training
    try:
        with torch.inference_mode():
            model.eval()(torch.arange(4, device=model.device)[None] % model.config.vocab_size)
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    return called[-1] if called else None


class States(list[torch.Tensor]):
    """The inputs of the last linear layer, one for each forward pass since `take`."""

    def take(self) -> torch.Tensor:
        """Return the states [S, H] of the last forward pass, and forget them."""
        state = self[-1]
        self.clear()
        return state


@contextmanager
def keeping_states(linear: nn.Linear) -> Iterator[States]:
    """Keep what `linear` reads, within the block."""
    states = States()

    def keep(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        states.append(inputs[0])

    hook = linear.register_forward_pre_hook(keep)
    try:
        yield states
    finally:
        hook.remove()


def scale_logits(linear: nn.Linear, factors_C: torch.Tensor) -> None:
    """Multiply the logits of `linear`, one factor a class, by its weights [C, H] and bias [C]."""
    with torch.no_grad():
        linear.weight.mul_(factors_C[:, None].to(linear.weight))
        if linear.bias is not None:
            linear.bias.mul_(factors_C.to(linear.bias))


def run_with_states(
    model: PreTrainedModel, linear: nn.Linear | None, inputs: dict[str, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return the logits [S, C] of `model`, and the states [S, H] that its last layer `linear` read.

    There are no states where `linear` is None, or reads a state of each token.
    """
    if linear is None:
        return model(**inputs).logits, None
    with keeping_states(linear) as kept:
        logits_SC: torch.Tensor = model(**inputs).logits
    states_SH = kept.take()
    return logits_SC, states_SH if states_SH.ndim == 2 else None
