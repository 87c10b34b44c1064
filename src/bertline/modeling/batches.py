"""Batches of texts of like length, padded to the longest among them.

The order is a pure function of (seed, epoch), which is what lets a killed run continue mid-epoch with
the same bits. Shape suffixes: B texts, T tokens of the longest.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from bertline.modeling.tokens import TokenizedSplit

BUCKET_BATCHES = 50
"""Batches whose texts are sorted together: enough for little padding, few enough to stay random."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Tensors of one step: ids and mask int64 [B, T], labels int64 [B]."""

    input_ids_BT: torch.Tensor
    attention_mask_BT: torch.Tensor
    labels_B: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels_B)

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on `device`."""
        return Batch(**{name: tensor.to(device, non_blocking=True) for name, tensor in vars(self).items()})


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
    rows = np.argsort(lengths, kind="stable")
    return [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]


def pad(rows: list[np.ndarray], pad_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids and attention mask, int64 [B, T], of token rows padded on the right with `pad_id`."""
    lengths_B = np.array([len(row) for row in rows])
    mask_BT = np.arange(lengths_B.max()) < lengths_B[:, None]
    ids_BT = np.full(mask_BT.shape, pad_id, dtype=np.int64)
    ids_BT[mask_BT] = np.concatenate(rows)
    return torch.from_numpy(ids_BT), torch.from_numpy(mask_BT.astype(np.int64))


def batches(split: TokenizedSplit, order: list[np.ndarray], pad_id: int) -> Iterator[Batch]:
    """Yield the batches of `split` in the given order."""
    for rows in order:
        texts = [split.input_ids[split.offsets[i] : split.offsets[i + 1]] for i in rows]
        ids_BT, mask_BT = pad(texts, pad_id)
        labels_B = torch.from_numpy(split.labels[rows])  # fancy indexing copies: writable
        yield Batch(input_ids_BT=ids_BT, attention_mask_BT=mask_BT, labels_B=labels_B)
