"""Texts and sentence pairs to unpadded token ids, kept in memory-mapped Arrow files.

Guarantees that training and serving cut a text alike, and that every cut is counted. Imports neither
torch nor transformers, whose start-up costs more than tokenising a small corpus. `token_writer` writes what
is read here.

Shapes: N texts, T tokens of all of them.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer

MANIFEST = "tokens.json"
ENCODED_AT_ONCE = 2048
"""Texts handed to the tokenizer together: its encodings take some 100 bytes a token, cut ones included."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a folder of tokens was made with; `finetune` takes the encoder and the classes from here."""

    weights: str
    weights_sha256: str
    max_length: int
    classes: tuple[str, ...]

    def write(self, folder: Path) -> None:
        """Write the manifest into `folder`."""
        (folder / MANIFEST).write_text(json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n", "utf-8")

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """Read the manifest of `folder`; ValueError if there is none."""
        try:
            fields = json.loads((folder / MANIFEST).read_text("utf-8"))
        except FileNotFoundError:
            raise ValueError(f"{folder} holds no {MANIFEST}; run `dvc repro tokenize`") from None
        return cls(**fields | {"classes": tuple(fields["classes"])})


@dataclass(frozen=True, kw_only=True, eq=False)
class Tokens:
    """Token ids of N texts or sentence pairs, end to end.

    `input_ids` int32 [T]: all tokens, special tokens included. `offsets` int64 [N + 1]: text i is
    `input_ids[offsets[i]:offsets[i + 1]]`. `type_ids` uint8 [T]: which text of a pair a token belongs to, as
    the tokenizer says; None where all are 0.
    """

    input_ids: np.ndarray
    offsets: np.ndarray
    type_ids: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each text, int64 [N]."""
        return np.diff(self.offsets)


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenizedSplit(Tokens):
    """The tokens of a split, and `labels` int64 [N]: the class of each row, index into the manifest's."""

    labels: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Encoded(Tokens):
    """Tokens fresh from the tokenizer; `cut` uint8 [N]: 1 where the text was longer than allowed."""

    cut: np.ndarray

    def take(self, rows: np.ndarray) -> "Encoded":
        """Return some rows, in the order of their indices `rows`."""
        starts, ends = self.offsets[rows], self.offsets[rows + 1]
        offsets = _offsets(ends - starts)
        places = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], ends - starts)
        return Encoded(
            input_ids=self.input_ids[places],
            offsets=offsets,
            type_ids=None if self.type_ids is None else self.type_ids[places],
            cut=self.cut[rows],
        )


def load_tokenizer(folder: Path, max_length: int) -> Tokenizer:
    """Return the tokenizer of `folder`, cutting at `max_length` tokens and padding nothing.

    Of a pair, the longer text is cut first, as transformers does by default.
    """
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length)
    return tokenizer


def encode(tokenizer: Tokenizer, inputs: Sequence[str | tuple[str, str]]) -> Encoded:
    """Return the tokens of each text or pair of texts."""
    parts = [
        _encode(tokenizer, inputs[i : i + ENCODED_AT_ONCE]) for i in range(0, len(inputs), ENCODED_AT_ONCE)
    ]
    return join(parts)


def _encode(tokenizer: Tokenizer, inputs: Sequence[str | tuple[str, str]]) -> Encoded:
    encodings = tokenizer.encode_batch_fast(list(inputs))
    input_ids = [each.ids for each in encodings]
    offsets = _offsets(np.fromiter(map(len, input_ids), np.int64, len(input_ids)))
    type_ids = chain.from_iterable(each.type_ids for each in encodings)
    types = np.fromiter(type_ids, np.uint8, offsets[-1])
    return Encoded(
        input_ids=np.fromiter(chain.from_iterable(input_ids), np.int32, offsets[-1]),
        offsets=offsets,
        type_ids=types if types.any() else None,
        cut=np.fromiter((bool(each.overflowing) for each in encodings), np.uint8, len(input_ids)),
    )


def join(parts: Sequence[Encoded]) -> Encoded:
    """Return the rows of all `parts`, one part after the other."""
    typed = any(part.type_ids is not None for part in parts)
    nothing = np.empty(0, np.int64)
    return Encoded(
        input_ids=np.concatenate([nothing.astype(np.int32), *(part.input_ids for part in parts)]),
        offsets=_offsets(np.concatenate([nothing, *(part.lengths for part in parts)])),
        type_ids=np.concatenate([_types(part) for part in parts]) if typed else None,
        cut=np.concatenate([nothing.astype(np.uint8), *(part.cut for part in parts)]),
    )


def _types(tokens: Tokens) -> np.ndarray:
    return np.zeros(len(tokens.input_ids), np.uint8) if tokens.type_ids is None else tokens.type_ids


def _offsets(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros(1, np.int64), lengths.cumsum(dtype=np.int64)])


def read_batch(path: Path) -> pa.RecordBatch:
    """Map the columns of a split into memory; nothing is read until it is used."""
    return pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0)


def read_tokens(batch: pa.RecordBatch) -> Encoded:
    """Return the tokens of a mapped split, without a copy."""
    typed = "type_ids" in batch.schema.names
    return Encoded(
        input_ids=batch["input_ids"].values.to_numpy(),
        offsets=batch["input_ids"].offsets.to_numpy(),
        type_ids=batch["type_ids"].values.to_numpy() if typed else None,
        cut=batch["cut"].to_numpy(),
    )


def read_split(path: Path) -> TokenizedSplit:
    """Map one split into memory; nothing is read until it is used. ValueError if the file is missing."""
    if not path.is_file():
        raise ValueError(f"there is no {path}; run `dvc repro tokenize`")
    batch = read_batch(path)
    tokens = read_tokens(batch)
    return TokenizedSplit(
        input_ids=tokens.input_ids,
        offsets=tokens.offsets,
        type_ids=tokens.type_ids,
        labels=batch["label"].to_numpy(),
    )
