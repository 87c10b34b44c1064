"""Tokens of the last run, so that a new delivery costs only its own rows.

The id of a row stands for its text, its pair and its label. So its tokens are a function of the id and of the
key of the scratch folder: the tokenizer, the truncation, and the code. Tokens under another key are never
read. With or without this cache the tokens are the same; deleting the folder only costs time.

- The folder holds the files of the last run that ended. Each is named after the SHA-256 of its bytes, and
  read only if that is still its name.
- They are copies: the disk holds the tokens of one run once more, and of two runs while new ones replace old.
- A run that is killed on the way leaves the old files.
"""

import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import tokenizers

from bertline.core.files import replacing
from bertline.rows.io import inputs
from bertline.stages.tokenize.token_writer import pack_ids
from bertline.tokens import arrays as tokens
from bertline.tokens import truncation

SCRATCH = Path(".bertline/tokens")
SORTED = np.dtype("S16")
"""Packed ids, which NumPy compares whole. Both sides have 16 bytes, so stripped zeros do not matter."""


class TokenCache:
    """Encodes rows with the tokenizer of a folder, or takes their tokens from the last run.

    Args:
        folder: holds tokenizer.json.
        max_length, long_texts, stride: as of `truncation.Truncator`.
        scratch: folder of all keys; holds one at a time.
    """

    def __init__(
        self, folder: Path, *, max_length: int, long_texts: str, stride: int, scratch: Path = SCRATCH
    ) -> None:
        self.taken = 0
        """Rows taken from the last run so far."""
        self._truncator = truncation.Truncator(
            folder, max_length=max_length, long_texts=long_texts, stride=stride
        )
        self._scratch = scratch
        self._folder = scratch / _key(folder, f"{max_length} {long_texts} {stride}")
        self._files = [file for file in sorted(self._folder.glob("*.arrow")) if _sha256(file) == file.stem]

    def encode(self, rows: pa.Table) -> tokens.Encoded:
        """Return the tokens of `rows`, a table of `ROW_SCHEMA`; fastest where their ids ascend."""
        ids = pack_ids(rows["id"].to_pylist()).view(SORTED).ravel()
        new = np.ones(len(ids), bool)
        parts, places = [], []
        for file in self._files:
            batch = tokens.read_batch(file)  # mapped again for each chunk, which frees the pages read
            known = np.frombuffer(batch["id"].buffers()[1], SORTED)
            at = np.minimum(np.searchsorted(known, ids), len(known) - 1)
            found = new & (known[at] == ids)
            parts.append(tokens.read_tokens(batch).take(at[found]))
            places.append(np.flatnonzero(found))
            new &= ~found
        places.append(np.flatnonzero(new))
        parts.append(self._truncator.encode(inputs(rows.filter(pa.array(new)))))
        self.taken += len(ids) - len(places[-1])
        return tokens.join(parts).take(np.argsort(np.concatenate(places)))

    def keep(self, files: Iterable[Path]) -> None:
        """Replace what the next run will take by copies of `files`, written by `token_writer.write_split`."""
        self._folder.mkdir(parents=True, exist_ok=True)
        kept = {self._folder}
        for file in files:
            copy = self._folder / f"{_sha256(file)}.arrow"
            kept.add(copy)
            if copy not in self._files:
                with replacing(copy) as new:
                    shutil.copyfile(file, new)
        for other in {*self._scratch.glob("*"), *self._folder.glob("*")} - kept:
            shutil.rmtree(other) if other.is_dir() else other.unlink()


def _key(folder: Path, cut: str) -> str:
    digest = hashlib.sha256(f"{tokenizers.__version__} {cut}".encode())
    for file in (folder / "tokenizer.json", Path(truncation.__file__), Path(tokens.__file__)):
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
