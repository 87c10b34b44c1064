"""Batches of texts of like length, and how their tokens become what a model takes.

The order is a pure function of (seed, epoch), which is what lets a killed run continue mid-epoch with
the same bits. Shape suffixes: B rows, S sequences (one a row, or its windows), T tokens of the longest.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import torch
from transformers import PretrainedConfig, PreTrainedModel

from bertline.modeling.tokens import Tokens
from bertline.modeling.unpadded import can_fill, enable, unpad

BUCKET_BATCHES = 50
"""Batches whose texts are sorted together: enough for little padding, few enough to stay random."""

Collate = Callable[[Tokens, np.ndarray], dict[str, Any]]
"""Makes the arguments of a model's forward pass from the sequences [S] of some tokens."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Everything that a loss is computed from, but for the model.

    `inputs`: what the model takes. `targets`: int64 [B] classes, float32 [B, C] of a multi-label target, or
    what else the task makes of them.
    """

    inputs: dict[str, Any]
    targets: torch.Tensor

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the tensors of the batch by name, inputs among them."""
        own = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: each for name, each in (own | self.inputs).items() if isinstance(each, torch.Tensor)}

    @property
    def shape(self) -> Hashable:
        """What batches have in common that the same kernels compute; `unpad` can fill them up to it."""
        plain = {name: each for name, each in self.inputs.items() if isinstance(each, int)}
        return tuple((name, each.shape, each.dtype) for name, each in self.tensors().items()), *plain.items()

    def to(self, device: torch.device) -> Self:
        """Return the batch on `device`."""
        moved = {name: each.to(device, non_blocking=True) for name, each in self.tensors().items()}
        inputs = {name: moved.pop(name, each) for name, each in self.inputs.items()}
        return replace(self, inputs=inputs, **moved)


def training_order(lengths: np.ndarray, batch_size: int, *, seed: int, epoch: int) -> list[np.ndarray]:
    """Return the row indices of each batch of an epoch: every row once, like lengths together."""
    random = np.random.default_rng([seed, epoch])
    rows = random.permutation(len(lengths))
    bucket = BUCKET_BATCHES * batch_size
    batches = []
    for start in range(0, len(rows), bucket):
        window = rows[start : start + bucket]
        window = window[np.argsort(lengths[window], kind="stable")]
        batches += [window[i : i + batch_size] for i in range(0, len(window), batch_size)]
    return [batches[i] for i in random.permutation(len(batches))]


def sorted_order(lengths: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Return the row indices of each batch for inference: longest last, least padding."""
    return parts(np.argsort(lengths, kind="stable"), batch_size)


def parts(rows: np.ndarray, size: int) -> list[np.ndarray]:
    """Return `rows` in pieces of at most `size`."""
    return [rows[i : i + size] for i in range(0, len(rows), size)]


def collate_padded(config: PretrainedConfig) -> Collate:
    """Return what pads the sequences of a batch to the longest among them, for a model of `config`.

    Which text of a pair a token belongs to is only told to encoders that learnt to tell them apart (BERT,
    ELECTRA, ALBERT; not RoBERTa, DistilBERT, ModernBERT). Without it they take all to be of the first.
    """
    typed = getattr(config, "type_vocab_size", 0) > 1
    left = getattr(config, "summary_type", None) == "last"  # XLNet, which reads what it says from there

    def collate(tokens: Tokens, sequences: np.ndarray) -> dict[str, torch.Tensor]:
        ids_ST, mask_ST = _pad(_cut(tokens.input_ids, tokens, sequences), config.pad_token_id or 0, left=left)
        inputs = {"input_ids": ids_ST, "attention_mask": mask_ST}
        if tokens.type_ids is not None and typed:
            inputs["token_type_ids"] = _pad(_cut(tokens.type_ids, tokens, sequences), 0, left=left)[0]
        return inputs

    return collate


def collate_unpadded(model: PreTrainedModel) -> Collate:
    """Return what lays the sequences of a batch end to end, for a `model` that `unpadded.enable` accepted."""

    def collate(tokens: Tokens, sequences: np.ndarray) -> dict[str, torch.Tensor]:
        types = None if tokens.type_ids is None else _cut(tokens.type_ids, tokens, sequences)
        filled = can_fill(model)  # wherever it runs by then; also if nothing is recorded: bits are the same
        return unpad(_cut(tokens.input_ids, tokens, sequences), types, model.config, filled=filled)

    return collate


def pick_collate(model: PreTrainedModel, *, unpadded: bool) -> Collate:
    """Return what makes inputs for `model`: without padding if it is asked for and the encoder allows it."""
    return collate_unpadded(model) if unpadded and enable(model) else collate_padded(model.config)


def windows(split: Tokens, rows: np.ndarray) -> torch.Tensor | None:
    """Return how many sequences each of `rows` is, int64 [B]; None where each is one."""
    if split.row_offsets is None:
        return None
    return torch.from_numpy(split.row_offsets[rows + 1] - split.row_offsets[rows])


def pool(logits_SC: torch.Tensor, windows_B: torch.Tensor | None) -> torch.Tensor:
    """Return logits [B, C] of rows: the mean over the windows of each."""
    if windows_B is None:
        return logits_SC
    rows = torch.arange(len(windows_B), device=windows_B.device)
    row_S = torch.repeat_interleave(rows, windows_B, output_size=len(logits_SC))
    summed_BC = torch.zeros(
        len(windows_B), logits_SC.shape[1], dtype=logits_SC.dtype, device=logits_SC.device
    )
    return summed_BC.index_add(0, row_S, logits_SC) / windows_B[:, None]


def _cut(values: np.ndarray, tokens: Tokens, sequences: np.ndarray) -> list[np.ndarray]:
    return [values[tokens.offsets[i] : tokens.offsets[i + 1]] for i in sequences]


def _pad(sequences: list[np.ndarray], pad_id: int, *, left: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids and attention mask, int64 [S, T], of token sequences padded with `pad_id` on one side."""
    lengths_S = np.array([len(each) for each in sequences])
    place_T = np.arange(lengths_S.max())
    mask_ST = (place_T[::-1] if left else place_T) < lengths_S[:, None]
    ids_ST = np.full(mask_ST.shape, pad_id, dtype=np.int64)
    ids_ST[mask_ST] = np.concatenate(sequences)
    return torch.from_numpy(ids_ST), torch.from_numpy(mask_ST.astype(np.int64))
