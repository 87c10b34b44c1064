"""Lay sequences of tokens side by side, padded to the longest of them.

Shape suffixes: S sequences, T tokens of the longest.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from bertline.tokens.arrays import Tokens


@dataclass(frozen=True, kw_only=True)
class Padding:
    """What an encoder takes: its padding id, on which side, and whether it learnt token types."""

    pad_id: int
    left: bool
    typed: bool

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Self:
        """Return what the encoder with this config.json takes.

        BERT, ELECTRA and ALBERT learnt to distinguish two texts by token types; RoBERTa, DistilBERT and
        ModernBERT did not. XLNet reads its answer from the last token, so it is padded on the left.
        """
        return cls(
            pad_id=config.get("pad_token_id") or 0,
            left=config.get("summary_type") == "last",
            typed=config.get("type_vocab_size", 0) > 1,
        )

    def inputs(self, tokens: Tokens, sequences: np.ndarray) -> dict[str, np.ndarray]:
        """Return the arguments of a forward pass for `sequences` [S] of `tokens`, each int64 [S, T]."""
        ids_ST, mask_ST = _pad(_slice(tokens.input_ids, tokens, sequences), self.pad_id, left=self.left)
        inputs = {"input_ids": ids_ST, "attention_mask": mask_ST}
        if tokens.type_ids is not None and self.typed:
            inputs["token_type_ids"] = _pad(_slice(tokens.type_ids, tokens, sequences), 0, left=self.left)[0]
        return inputs


def _slice(values: np.ndarray, tokens: Tokens, sequences: np.ndarray) -> list[np.ndarray]:
    return [values[tokens.offsets[i] : tokens.offsets[i + 1]] for i in sequences]


def _pad(sequences: list[np.ndarray], pad_id: int, *, left: bool) -> tuple[np.ndarray, np.ndarray]:
    lengths_S = np.array([len(each) for each in sequences])
    place_T = np.arange(lengths_S.max())
    mask_ST = (place_T[::-1] if left else place_T) < lengths_S[:, None]
    ids_ST = np.full(mask_ST.shape, pad_id, dtype=np.int64)
    ids_ST[mask_ST] = np.concatenate(sequences)
    return ids_ST, mask_ST.astype(np.int64)
