"""A batch, and the functions that turn its tokens into the arguments of a model.

Shape suffixes: B rows, S sequences (one a row, or its windows), C classes.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import torch
from transformers import PretrainedConfig, PreTrainedModel

from bertline.encoder.unpadding import is_unpadding_enabled, supports_buckets, unpad
from bertline.tokens.arrays import Tokens
from bertline.tokens.padding import Padding

Collate = Callable[[Tokens, np.ndarray], dict[str, Any]]
"""Makes the arguments of a model's forward pass from the sequences [S] of some tokens."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Everything that a loss is computed from, except the model.

    `inputs`: the arguments of the model. `targets`: int64 [B] classes, float32 [B, C] for a multi-label
    target, or another tensor that the task needs.
    """

    inputs: dict[str, Any]
    targets: torch.Tensor

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the tensors of the batch by name, inputs among them."""
        own = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: each for name, each in (own | self.inputs).items() if isinstance(each, torch.Tensor)}

    @property
    def signature(self) -> Hashable:
        """Shapes, types and numbers: equal for batches that the same kernels compute."""
        plain = {name: each for name, each in self.inputs.items() if isinstance(each, int)}
        return tuple((name, each.shape, each.dtype) for name, each in self.tensors().items()), *plain.items()

    def to(self, device: torch.device) -> Self:
        """Return the batch on `device`."""
        moved = {name: each.to(device, non_blocking=True) for name, each in self.tensors().items()}
        inputs = {name: moved.pop(name, each) for name, each in self.inputs.items()}
        return replace(self, inputs=inputs, **moved)


def collate_padded(config: PretrainedConfig) -> Collate:
    """Return a collate that pads the sequences of a batch to the longest, for a model of `config`."""
    padding = Padding.of(config.to_dict())

    def collate(tokens: Tokens, sequences: np.ndarray) -> dict[str, torch.Tensor]:
        return {name: torch.from_numpy(each) for name, each in padding.inputs(tokens, sequences).items()}

    return collate


def collate_unpadded(model: PreTrainedModel) -> Collate:
    """Return a collate that lays the sequences of a batch end to end, for an unpadded `model`."""

    def collate(tokens: Tokens, sequences: np.ndarray) -> dict[str, torch.Tensor]:
        types = None if tokens.type_ids is None else _slice(tokens.type_ids, tokens, sequences)
        bucketed = supports_buckets(model)  # asked here, because the model may move to a GPU; bits are equal
        return unpad(_slice(tokens.input_ids, tokens, sequences), types, model.config, bucketed=bucketed)

    return collate


def collate_for(model: PreTrainedModel) -> Collate:
    """Return the collate for `model`: without padding if `enable_unpadding` has accepted it."""
    return collate_unpadded(model) if is_unpadding_enabled(model) else collate_padded(model.config)


def window_counts(split: Tokens, rows: np.ndarray) -> torch.Tensor | None:
    """Return how many sequences each of `rows` is, int64 [B]; None where each is one."""
    if split.row_offsets is None:
        return None
    return torch.from_numpy(split.row_offsets[rows + 1] - split.row_offsets[rows])


def mean_over_windows(logits_SC: torch.Tensor, windows_B: torch.Tensor | None) -> torch.Tensor:
    """Return logits [B, C] of rows: the mean over the windows of each."""
    if windows_B is None:
        return logits_SC
    rows = torch.arange(len(windows_B), device=windows_B.device)
    row_S = torch.repeat_interleave(rows, windows_B, output_size=len(logits_SC))
    summed_BC = torch.zeros(
        len(windows_B), logits_SC.shape[1], dtype=logits_SC.dtype, device=logits_SC.device
    )
    return summed_BC.index_add(0, row_S, logits_SC) / windows_B[:, None]


def _slice(values: np.ndarray, tokens: Tokens, sequences: np.ndarray) -> list[np.ndarray]:
    return [values[tokens.offsets[i] : tokens.offsets[i + 1]] for i in sequences]
