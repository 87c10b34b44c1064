"""Write the tokens of a split chunk by chunk, as one Arrow record batch that can be mapped into memory whole.

Guarantees memory that does not grow with the rows, and bytes that depend on the rows alone. For that each
column waits in an unlinked file beside the result: the disk holds the tokens twice until the end, and a
killed run leaves nothing behind but an unfinished result.

Columns: `id` (16 bytes for 32 hex digits), `input_ids` (list of int32; list of such lists if any text is
several windows), `type_ids` (like those, of uint8, only if any is not 0), `cut` (uint8, 1 where the text was
too long), `label` (int64; of a multi-label target a list of one uint8 for each class).
"""

import shutil
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import pyarrow as pa

from bertline.tokens.arrays import Encoded, types_of, windows_of

ID = pa.binary(16)
COLUMNS = ("id", "row_offsets", "offsets", "input_ids", "type_ids", "cut", "label")


class Chunk(NamedTuple):
    """Some rows of a split: `ids` uint8 [N, 16], their tokens, `labels` int64 [N] or uint8 [N, C]."""

    ids: np.ndarray
    encoded: Encoded
    labels: np.ndarray


class Sizes:
    """The sizes of a split so far, and the columns that it needs."""

    rows = sequences = tokens = 0
    typed = windowed = False
    classes: int | None = None

    def add(self, chunk: Chunk) -> None:
        """Count in the rows of a chunk."""
        encoded = chunk.encoded
        self.rows += len(encoded)
        self.sequences += len(encoded.offsets) - 1
        self.tokens += len(encoded.input_ids)
        self.typed = self.typed or bool(types_of(encoded).any())
        self.windowed = self.sequences > self.rows
        self.classes = chunk.labels.shape[1] if chunk.labels.ndim > 1 else None


def pack_ids(ids: list[str]) -> np.ndarray:
    """Return ids of 32 hex digits as uint8 [N, 16]."""
    return np.frombuffer(bytes.fromhex("".join(ids)), np.uint8).reshape(len(ids), 16)


def write_split(path: Path, chunks: Iterable[Chunk]) -> None:
    """Write the rows of all `chunks`, one chunk after the other, to the Arrow file `path`."""
    with ExitStack() as stack:
        columns = {
            name: stack.enter_context(tempfile.TemporaryFile(dir=path.parent, prefix=name))
            for name in COLUMNS
        }
        sizes = Sizes()
        for name in ("row_offsets", "offsets"):
            columns[name].write(np.zeros(1, np.int64).tobytes())
        for chunk in chunks:
            encoded = chunk.encoded
            values = {
                "id": chunk.ids,
                "row_offsets": windows_of(encoded).cumsum() + sizes.sequences,
                "offsets": encoded.offsets[1:] + sizes.tokens,
                "input_ids": encoded.input_ids,
                "type_ids": types_of(encoded),
                "cut": encoded.truncated,
                "label": chunk.labels,
            }
            for name, array in values.items():
                columns[name].write(array.tobytes())
            sizes.add(chunk)
        _lay_out(path, sizes)
        _fill(path, columns, sizes)


def _lay_out(path: Path, sizes: Sizes) -> None:
    """Write a split of zeros, which take no memory: untouched pages of NumPy's all are the same one."""

    def zeros(kind: type[np.generic], *shape: int) -> pa.Array:
        return pa.array(np.zeros(shape, kind))

    def lists(kind: type[np.generic]) -> pa.Array:
        array = zeros(kind, sizes.tokens)
        if sizes.windowed:
            array = pa.LargeListArray.from_arrays(_ending_in(sizes.sequences, sizes.tokens), array)
        return pa.LargeListArray.from_arrays(
            _ending_in(sizes.rows, sizes.sequences if sizes.windowed else sizes.tokens), array
        )

    arrays = {
        "id": pa.Array.from_buffers(ID, sizes.rows, [None, zeros(np.uint8, 16 * sizes.rows).buffers()[1]]),
        "input_ids": lists(np.int32),
        **({"type_ids": lists(np.uint8)} if sizes.typed else {}),
        "cut": zeros(np.uint8, sizes.rows),
        "label": zeros(np.int64, sizes.rows)
        if sizes.classes is None
        else pa.FixedSizeListArray.from_arrays(zeros(np.uint8, sizes.rows * sizes.classes), sizes.classes),
    }
    batch = pa.record_batch(list(arrays.values()), names=list(arrays))
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)


def _ending_in(parts: int, end: int) -> np.ndarray:
    offsets = np.zeros(parts + 1, np.int64)
    offsets[-1] = end
    return offsets


def _fill(path: Path, columns: Mapping[str, IO[bytes]], sizes: Sizes) -> None:
    """Copy each column to where Arrow expects it, a little at a time."""
    offsets = ["row_offsets", "offsets"] if sizes.windowed else ["offsets"]
    with pa.memory_map(str(path)) as source:
        whole = source.read_buffer()
        batch = pa.ipc.open_file(whole).get_batch(0)
        with path.open("r+b") as out:
            for name in batch.schema.names:
                buffers = [each for each in batch[name].buffers() if each is not None]  # no bitmaps of nulls
                parts = [*offsets, name] if name in ("input_ids", "type_ids") else [name]
                for buffer, part in zip(buffers, parts, strict=True):
                    columns[part].seek(0)
                    out.seek(buffer.address - whole.address)
                    shutil.copyfileobj(columns[part], out, 1 << 20)
