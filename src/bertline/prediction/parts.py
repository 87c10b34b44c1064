"""The finished parts of an output, in a folder beside it, so that a killed run continues.

Guarantees:

- A part is there whole or not at all, also after `kill -9` or a power cut.
- Parts are only used for the same key; with another one the folder is emptied first.
- The output appears whole, when all parts are there, and its bytes do not depend on how often the run was
  interrupted.
- One process at a time works on an output.

While the parts are joined, they and the output need room on the disk together.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bertline.core.files import replacing
from bertline.core.lock import only_one

_KEY = "key"
_LOCK = "lock"


class Parts:
    """The parts of `output`."""

    def __init__(self, folder: Path, output: Path) -> None:
        self._folder, self._output = folder, output

    def __contains__(self, part: int) -> bool:
        return self._path(part).is_file()

    def write(self, part: int, rows: pa.Table) -> None:
        """Write a part.

        Raises:
            OSError: the disk is full; the finished parts stay.
        """
        with replacing(self._path(part), durable=True) as new:
            pq.write_table(rows, new, compression="zstd")

    def join(self, parts: int) -> None:
        """Write the output, each part a row group of it.

        Raises:
            OSError: the disk is full; the parts stay.
        """
        with replacing(self._output, durable=True) as new:
            schema = pq.read_schema(self._path(0))
            with pq.ParquetWriter(new, schema, compression="zstd") as writer:
                for part in range(parts):
                    with pq.ParquetFile(self._path(part)) as file:
                        writer.write_table(file.read())

    def _path(self, part: int) -> Path:
        return self._folder / f"{part:06}.parquet"


@contextmanager
def resumable(output: Path, key: str) -> Iterator[Parts]:
    """Yield the parts of `output` that were made for `key`; a block that ends without an error deletes them.

    Raises:
        ValueError: another process works on `output`.
    """
    folder = output.with_name(f".{output.name}.parts")
    with only_one(folder / _LOCK, "bertline predict", output):
        if not _has_key(folder, key):
            _empty(folder)
            (folder / _KEY).write_text(key, "utf-8")
        yield Parts(folder, output)
        shutil.rmtree(folder)


def _has_key(folder: Path, key: str) -> bool:
    path = folder / _KEY
    return path.is_file() and path.read_text("utf-8") == key


def _empty(folder: Path) -> None:
    """Delete the key, then the parts: killed between the two, the next run finds no key."""
    (folder / _KEY).unlink(missing_ok=True)
    for path in folder.glob("*.parquet"):
        path.unlink()
