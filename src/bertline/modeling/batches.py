"""Batches of texts of like length, padded to the longest among them.

The order is a pure function of (seed, epoch), which is what lets a killed run continue mid-epoch with
the same bits. Shape suffixes: B texts, T tokens of the longest.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PretrainedConfig

from bertline.modeling.tokens import TokenizedSplit, Tokens

BUCKET_BATCHES = 50
"""Batches whose texts are sorted together: enough for little padding, few enough to stay random."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Tensors of one step: what the model takes, as `model_inputs` returns it, and the labels int64 [B]."""

    inputs: dict[str, torch.Tensor]
    labels_B: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels_B)

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on `device`."""
        inputs = {name: tensor.to(device, non_blocking=True) for name, tensor in self.inputs.items()}
        return Batch(inputs=inputs, labels_B=self.labels_B.to(device, non_blocking=True))


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


def model_inputs(tokens: Tokens, rows: np.ndarray, config: PretrainedConfig) -> dict[str, torch.Tensor]:
    """Return the arguments of a model's forward pass for some rows of `tokens`, each int64 [B, T].

    Which text of a pair a token belongs to is only told to encoders that learnt to tell them apart (BERT,
    ELECTRA, ALBERT; not RoBERTa, DistilBERT, ModernBERT). Without it they take all to be of the first.
    """

    def cut(values: np.ndarray) -> list[np.ndarray]:
        return [values[tokens.offsets[i] : tokens.offsets[i + 1]] for i in rows]

    ids_BT, mask_BT = pad(cut(tokens.input_ids), config.pad_token_id or 0)
    inputs = {"input_ids": ids_BT, "attention_mask": mask_BT}
    if tokens.type_ids is not None and getattr(config, "type_vocab_size", 0) > 1:
        inputs["token_type_ids"] = pad(cut(tokens.type_ids), 0)[0]
    return inputs


def batches(split: TokenizedSplit, order: list[np.ndarray], config: PretrainedConfig) -> Iterator[Batch]:
    """Yield the batches of `split` in the given order, for a model of `config`."""
    for rows in order:
        labels_B = torch.from_numpy(split.labels[rows])  # fancy indexing copies: writable
        yield Batch(inputs=model_inputs(split, rows, config), labels_B=labels_B)
