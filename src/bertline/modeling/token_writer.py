"""Write the tokens of a split chunk by chunk, as one Arrow record batch that can be mapped into memory whole.

Guarantees memory that does not grow with the rows, and bytes that depend on the rows alone. For that each
column waits in an unlinked file beside the result: the disk holds the tokens twice until the end, and a
killed run leaves nothing behind but an unfinished result.

Columns: `id` (16 bytes for 32 hex digits), `input_ids` (list of int32), `type_ids` (list of uint8, only if
any is not 0), `cut` (uint8, 1 where the text was too long), `label` (int64).
"""

import shutil
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import pyarrow as pa

from bertline.modeling.tokens import Encoded

ID = pa.binary(16)
COLUMNS = {
    "id": (None, "id"),
    "input_ids": (None, "offsets", None, "input_ids"),
    "type_ids": (None, "offsets", None, "type_ids"),
    "cut": (None, "cut"),
    "label": (None, "label"),
}
"""Arrow's buffers of each column: its bitmap of nulls (there are none), offsets of lists, values."""


class Chunk(NamedTuple):
    """Some rows of a split: `ids` uint8 [N, 16], their tokens, `labels` int64 [N]."""

    ids: np.ndarray
    encoded: Encoded
    labels: np.ndarray


def pack_ids(ids: list[str]) -> np.ndarray:
    """Return ids of 32 hex digits as uint8 [N, 16]."""
    return np.frombuffer(bytes.fromhex("".join(ids)), np.uint8).reshape(len(ids), 16)


def write_split(path: Path, chunks: Iterable[Chunk]) -> None:
    """Write the rows of all `chunks`, one chunk after the other, to the Arrow file `path`."""
    with ExitStack() as stack:
        columns = {
            name: stack.enter_context(tempfile.TemporaryFile(dir=path.parent, prefix=name))
            for name in (*COLUMNS, "offsets")
        }
        rows, tokens, typed = 0, 0, False
        columns["offsets"].write(np.zeros(1, np.int64).tobytes())
        for ids, encoded, labels in chunks:
            types = encoded.type_ids
            values = {
                "id": ids,
                "offsets": encoded.offsets[1:] + tokens,
                "input_ids": encoded.input_ids,
                "type_ids": np.zeros(len(encoded.input_ids), np.uint8) if types is None else types,
                "cut": encoded.cut,
                "label": labels,
            }
            for name, array in values.items():
                columns[name].write(array.tobytes())
            rows, tokens = rows + len(labels), tokens + len(encoded.input_ids)
            typed = typed or bool(values["type_ids"].any())
        _lay_out(path, rows, tokens, typed)
        _fill(path, columns)


def _lay_out(path: Path, rows: int, tokens: int, typed: bool) -> None:
    """Write a split of zeros, which take no memory: untouched pages of NumPy's all are the same one."""
    offsets = np.zeros(rows + 1, np.int64)
    offsets[-1] = tokens
    arrays = {
        "id": pa.Array.from_buffers(ID, rows, [None, pa.py_buffer(np.zeros((rows, 16), np.uint8))]),
        "input_ids": pa.LargeListArray.from_arrays(offsets, np.zeros(tokens, np.int32)),
        "type_ids": pa.LargeListArray.from_arrays(offsets, np.zeros(tokens, np.uint8)),
        "cut": pa.array(np.zeros(rows, np.uint8)),
        "label": pa.array(np.zeros(rows, np.int64)),
    }
    if not typed:
        del arrays["type_ids"]
    batch = pa.record_batch(list(arrays.values()), names=list(arrays))
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)


def _fill(path: Path, columns: Mapping[str, IO[bytes]]) -> None:
    """Copy each column to where Arrow expects it, a little at a time."""
    with pa.memory_map(str(path)) as source:
        whole = source.read_buffer()
        batch = pa.ipc.open_file(whole).get_batch(0)
        with path.open("r+b") as out:
            for name in batch.schema.names:
                for buffer, column in zip(batch[name].buffers(), COLUMNS[name], strict=True):
                    if column is not None:
                        columns[column].seek(0)
                        out.seek(buffer.address - whole.address)
                        shutil.copyfileobj(columns[column], out, 1 << 20)
