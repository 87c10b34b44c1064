"""The linear layers of a classifier's head, the last of which makes the logits.

Any architecture of transformers will do: the layers are found by a forward pass, not by their names.
Shape suffixes: C classes, H the width of a layer.
"""

from itertools import takewhile

import torch
from torch import nn
from transformers import PreTrainedModel

from bertline.encoder.layers import eval_mode


def find_last_linear(model: PreTrainedModel) -> nn.Linear | None:
    """Return the linear layer with an output for each class that ran last, or None.

    Runs `model` once on four tokens, padded or not. Draws no random numbers.
    """
    classes = model.config.num_labels  # T5 and BART have no model.num_labels
    return next((layer for layer, _ in reversed(_run(model)) if layer.out_features == classes), None)


def find_head(model: PreTrainedModel) -> list[nn.Linear]:
    """Return the linear layers that read one state of each text, up to the one that makes the logits.

    They are in the order in which they run. There are none where the last one reads a state of each token.
    Runs `model` as `find_last_linear` does.
    """
    called = _run(model)
    while called and called[-1][0].out_features != model.config.num_labels:
        called.pop()
    head = list(takewhile(lambda call: call[1] == 1, reversed(called)))
    return [layer for layer, _ in reversed(head)]


def _run(model: PreTrainedModel) -> list[tuple[nn.Linear, int]]:
    """Return the linear layers in the order in which they ran for a text of four tokens, and their rows.

    A layer that reads each token, whether as [1, 4, H] or as [4, H], has four rows.
    """
    called: list[tuple[nn.Linear, int]] = []

    def note(layer: nn.Linear, inputs: tuple[torch.Tensor, ...]) -> None:
        called.append((layer, inputs[0].shape[:-1].numel()))

    hooks = [m.register_forward_pre_hook(note) for m in model.modules() if isinstance(m, nn.Linear)]
    try:
        with eval_mode(model), torch.inference_mode():
            model(torch.arange(4, device=model.device)[None] % model.config.vocab_size)
    finally:
        for hook in hooks:
            hook.remove()
    return called


def scale_logits(linear: nn.Linear, factors_C: torch.Tensor) -> None:
    """Multiply the logits of `linear`, one factor a class, by its weights [C, H] and bias [C]."""
    with torch.no_grad():
        linear.weight.mul_(factors_C[:, None].to(linear.weight))
        if linear.bias is not None:
            linear.bias.mul_(factors_C.to(linear.bias))
