"""Texts to unpadded token ids, kept in memory-mapped Arrow files.

Guarantees that training and serving cut a text alike, and that every cut is counted. Imports neither
torch nor transformers, whose start-up costs more than tokenising a small corpus.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer

MANIFEST = "tokens.json"


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
class TokenizedSplit:
    """Token ids of N texts, end to end, and the class of each.

    `input_ids` int32 [T]: all tokens, special tokens included. `offsets` int64 [N + 1]: text i is
    `input_ids[offsets[i]:offsets[i + 1]]`. `labels` int64 [N]: index into the manifest's classes.
    """

    input_ids: np.ndarray
    offsets: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each text, int64 [N]."""
        return np.diff(self.offsets)


def load_tokenizer(folder: Path, max_length: int) -> Tokenizer:
    """Return the tokenizer of `folder`, cutting at `max_length` tokens and padding nothing."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length)
    return tokenizer


def encode(tokenizer: Tokenizer, texts: Sequence[str]) -> tuple[list[list[int]], int]:
    """Return the token ids of each text, and how many texts were cut."""
    encodings = tokenizer.encode_batch_fast(list(texts))
    return [encoding.ids for encoding in encodings], sum(bool(each.overflowing) for each in encodings)


def write_split(path: Path, ids: Sequence[str], input_ids: list[list[int]], labels: Sequence[int]) -> None:
    """Write one split as an uncompressed Arrow file: columns `id`, `input_ids` (list<int32>), `label`."""
    table = pa.table(
        {
            "id": pa.array(ids, pa.string()),
            "input_ids": pa.array(input_ids, pa.large_list(pa.int32())),
            "label": pa.array(labels, pa.int64()),
        }
    )
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def read_split(path: Path) -> TokenizedSplit:
    """Map one split into memory; nothing is read until it is used. ValueError if the file is missing."""
    if not path.is_file():
        raise ValueError(f"there is no {path}; run `dvc repro tokenize`")
    table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    column = table["input_ids"].combine_chunks()
    return TokenizedSplit(
        input_ids=column.values.to_numpy(),
        offsets=column.offsets.to_numpy(),
        labels=table["label"].to_numpy(),
    )
