"""Unpadded token ids of texts and sentence pairs, in memory-mapped Arrow files.

`truncation` makes them and `token_writer` of the stage writes them. Imports neither torch nor transformers,
whose start-up takes longer than tokenising a small corpus.

Shapes: N rows, S sequences (more than rows where texts are several windows), T tokens of all, C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa


@dataclass(frozen=True, kw_only=True, eq=False)
class Tokens:
    """Token ids of the S sequences of N rows (texts or sentence pairs), end to end.

    `input_ids` int32 [T]: all tokens, special tokens included. `offsets` int64 [S + 1]: sequence i is
    `input_ids[offsets[i]:offsets[i + 1]]`. `type_ids` uint8 [T]: which text of a pair a token belongs to, as
    the tokenizer says; None where all are 0. `row_offsets` int64 [N + 1]: row i is the sequences
    `row_offsets[i]` to `row_offsets[i + 1]`, the windows of a long text; None where each row is one sequence.
    """

    input_ids: np.ndarray
    offsets: np.ndarray
    type_ids: np.ndarray | None = None
    row_offsets: np.ndarray | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.offsets if self.row_offsets is None else self.row_offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each row, in all its windows, int64 [N]."""
        return np.diff(self.offsets if self.row_offsets is None else self.offsets[self.row_offsets])

    def sequences(self, rows: np.ndarray) -> np.ndarray:
        """Return the indices of the sequences of some rows, row by row, int64."""
        return rows if self.row_offsets is None else spans(self.row_offsets[rows], self.row_offsets[rows + 1])

    def pick(self, sequences: np.ndarray) -> "Tokens":
        """Return some sequences, each a row of its own, in the order of their indices."""
        starts, ends = self.offsets[sequences], self.offsets[sequences + 1]
        places = spans(starts, ends)
        return Tokens(
            input_ids=self.input_ids[places],
            offsets=to_offsets(ends - starts),
            type_ids=None if self.type_ids is None else self.type_ids[places],
        )


def spans(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return the numbers from each start to before its end, one span after the other, int64."""
    offsets = to_offsets(ends - starts)
    numbers: np.ndarray = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], ends - starts)
    return numbers


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenizedSplit(Tokens):
    """The tokens of a split, and its `labels`, indices into the manifest's classes.

    int64 [N], the class of each row; for a multi-label target uint8 [N, C], 1 where the row has the label.
    """

    labels: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Encoded(Tokens):
    """Tokens fresh from the tokenizer; `truncated` uint8 [N]: 1 where the text was too long."""

    truncated: np.ndarray

    def take(self, rows: np.ndarray) -> "Encoded":
        """Return some rows, in the order of their indices `rows`."""
        picked = self.pick(self.sequences(rows))
        return Encoded(
            input_ids=picked.input_ids,
            offsets=picked.offsets,
            type_ids=picked.type_ids,
            row_offsets=None if self.row_offsets is None else to_offsets(windows_of(self)[rows]),
            truncated=self.truncated[rows],
        )


def join(parts: Sequence[Encoded]) -> Encoded:
    """Return the rows of all `parts`, one part after the other."""
    typed = any(part.type_ids is not None for part in parts)
    windowed = any(part.row_offsets is not None for part in parts)
    nothing = np.empty(0, np.int64)
    return Encoded(
        input_ids=np.concatenate([nothing.astype(np.int32), *(part.input_ids for part in parts)]),
        offsets=to_offsets(np.concatenate([nothing, *(np.diff(part.offsets) for part in parts)])),
        type_ids=np.concatenate([types_of(part) for part in parts]) if typed else None,
        row_offsets=to_offsets(np.concatenate([windows_of(part) for part in parts])) if windowed else None,
        truncated=np.concatenate([nothing.astype(np.uint8), *(part.truncated for part in parts)]),
    )


def types_of(tokens: Tokens) -> np.ndarray:
    """Return which text each token belongs to, uint8 [T]."""
    return np.zeros(len(tokens.input_ids), np.uint8) if tokens.type_ids is None else tokens.type_ids


def windows_of(tokens: Tokens) -> np.ndarray:
    """Return how many sequences each row is, int64 [N]."""
    return np.ones(len(tokens), np.int64) if tokens.row_offsets is None else np.diff(tokens.row_offsets)


def to_offsets(lengths: np.ndarray) -> np.ndarray:
    """Return where each of several parts begins, and where the last one ends, int64 [parts + 1]."""
    return np.concatenate([np.zeros(1, np.int64), lengths.cumsum(dtype=np.int64)])


def read_batch(path: Path) -> pa.RecordBatch:
    """Map the columns of a split into memory; nothing is read until it is used."""
    return pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0)


def read_tokens(batch: pa.RecordBatch) -> Encoded:
    """Return the tokens of a mapped split, without a copy."""
    lists = {name: batch[name] for name in ("input_ids", "type_ids") if name in batch.schema.names}
    row_offsets = None
    if pa.types.is_large_list(lists["input_ids"].type.value_type):
        row_offsets = lists["input_ids"].offsets.to_numpy()
        lists = {name: array.values for name, array in lists.items()}
    return Encoded(
        input_ids=lists["input_ids"].values.to_numpy(),
        offsets=lists["input_ids"].offsets.to_numpy(),
        type_ids=lists["type_ids"].values.to_numpy() if "type_ids" in lists else None,
        row_offsets=row_offsets,
        truncated=batch["cut"].to_numpy(),
    )


def read_split(path: Path) -> TokenizedSplit:
    """Map one split into memory; nothing is read until it is used. ValueError if the file is missing."""
    if not path.is_file():
        raise ValueError(f"there is no {path}; run `dvc repro tokenize`")
    batch = read_batch(path)
    tokens, labels = read_tokens(batch), batch["label"]
    return TokenizedSplit(
        input_ids=tokens.input_ids,
        offsets=tokens.offsets,
        type_ids=tokens.type_ids,
        row_offsets=tokens.row_offsets,
        labels=(
            labels.values.to_numpy().reshape(len(batch), -1)
            if pa.types.is_fixed_size_list(labels.type)
            else labels.to_numpy()
        ),
    )
