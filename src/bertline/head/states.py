"""The states of a text that out-of-scope scores are computed from.

Shape suffixes: S sequences, T tokens, C classes, H the width of a layer, W of a state of several layers.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from bertline.head.last_linear import find_head
from bertline.head.out_of_scope import Reader


def find_reader(model: PreTrainedModel, which: Reader) -> nn.Linear | None:
    """Return the `which` linear layer of the head; None where it has none that reads one state of a text."""
    head = find_head(model)
    return head[0 if which == "first" else -1] if head else None


@contextmanager
def keeping_states(linear: nn.Linear) -> Iterator[list[torch.Tensor]]:
    """Keep what `linear` reads in each forward pass, within the block."""
    states: list[torch.Tensor] = []
    with linear.register_forward_pre_hook(lambda _, inputs: states.append(inputs[0])):
        yield states


def run_with_states(
    model: PreTrainedModel, reader: nn.Linear | None, inputs: dict[str, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return the logits [S, C] of `model` for padded texts, and states [S, W] for out-of-scope scores.

    A state is what the layer `reader` of the head reads and, behind it, the mean over the tokens of what the
    middle layer of the encoder returns, where that is found. There are none where `reader` is None.
    """
    if reader is None:
        return model(**inputs).logits, None
    middle = _middle_layer(model)
    with keeping_states(reader) as kept, _keeping_output(middle) as outputs:
        logits_SC: torch.Tensor = model(**inputs).logits
    [states_SH] = kept
    means = [_mean_over_tokens(each, inputs.get("attention_mask")) for each in outputs if each.ndim == 3]
    return logits_SC, torch.cat([states_SH, *means], dim=1)


def _middle_layer(model: PreTrainedModel) -> nn.Module | None:
    """Return the layer in the middle of the encoder; None where its layers are no list (ALBERT has one).

    None for XLNet, too: its layers return the tokens first.
    """
    if model.config.model_type == "xlnet":
        return None
    layers = getattr(model.config, "num_hidden_layers", None)
    stacks = (module for module in model.base_model.modules() if isinstance(module, nn.ModuleList))
    stack = next((stack for stack in stacks if len(stack) == layers), None)
    return None if stack is None else stack[(len(stack) - 1) // 2]


@contextmanager
def _keeping_output(layer: nn.Module | None) -> Iterator[list[torch.Tensor]]:
    """Keep the states of tokens that `layer` returns, within the block."""
    outputs: list[torch.Tensor] = []
    if layer is None:
        yield outputs
        return

    def keep(_module: nn.Module, _inputs: tuple[Any, ...], output: Any) -> None:
        outputs.append(output if isinstance(output, torch.Tensor) else output[0])

    with layer.register_forward_hook(keep):
        yield outputs


def _mean_over_tokens(states_STH: torch.Tensor, mask_ST: torch.Tensor | None) -> torch.Tensor:
    """Return the mean over the tokens of each text, [S, H], without padding."""
    if mask_ST is None:
        return states_STH.mean(dim=1)
    mask_ST1 = mask_ST[:, :, None].to(states_STH.dtype)
    return (states_STH * mask_ST1).sum(dim=1) / mask_ST1.sum(dim=1)
