"""The table in a file: Parquet, CSV, TSV or JSON lines, read in pieces.

Guarantees that a text file is read from end to end before its first row is given out, so that a damaged row
is found before hours of work and not after them. Values stay as they are: all columns of a CSV file become
texts. Text files are UTF-8. Does not repair a file, as the stage `ingest` does: a row that cannot be read is
an error. Without any row, JSON lines name no columns: then there are those of the texts.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bertline.prediction.csv_table import look_through, read_csv
from bertline.prediction.json_lines import find_schema, read_json_lines
from bertline.rows.io import one_line

CHUNK = 8192
"""Rows given out at once: they are sorted by length together, and predicted again after a kill."""
CHUNK_BYTES = 1 << 24
"""Bytes of texts given out at once, on average, so that long texts need no more memory than short ones."""

_BUFFER = 1 << 20  # bytes of a column read at once: a row group may hold all rows


@dataclass(frozen=True)
class Source:
    """A table in a file, and how to read its batches."""

    path: Path
    rows: int
    schema: pa.Schema
    text_columns: Sequence[str]
    read: Callable[[], Iterable[pa.RecordBatch]]

    def chunks(self) -> Iterator[pa.Table]:
        """Yield the rows in order, `CHUNK` at a time, the last ones and long ones fewer.

        A file without rows gives an empty table.

        Raises:
            ValueError: the file has changed and cannot be read any more.
        """
        waiting = self.schema.empty_table()
        with _one_error(self.path):
            for batch in self.read():
                waiting = pa.concat_tables([waiting, pa.Table.from_batches([batch])])
                while len(waiting) > (rows := self._rows_at_once(waiting)):
                    yield waiting.slice(0, rows)
                    waiting = waiting.slice(rows)
        yield waiting

    def _rows_at_once(self, waiting: pa.Table) -> int:
        size: int = waiting.select([*dict.fromkeys(self.text_columns)]).nbytes
        return max(1, min(CHUNK, CHUNK_BYTES * len(waiting) // max(size, 1)))


def open_source(path: Path, text_columns: Sequence[str]) -> Source:
    """Return the table in `path`, after a look at all of it.

    Raises:
        ValueError: there is no such file, or none of a known kind; a row of it cannot be read; or it lacks
            one of `text_columns`, or that one holds no texts.
    """
    kind = path.suffix.lower()
    if kind not in _KINDS:
        raise ValueError(f"{path} is no kind of file that is read; allowed: {', '.join(_KINDS)}")
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    with _one_error(path):
        source = _KINDS[kind](path, text_columns)
    names = source.schema.names
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"{path} has the column {twice[0]!r} twice; rename one")
    for name in text_columns:
        if name not in names:
            raise ValueError(
                f"{path} has no column {name!r}; there are: {', '.join(names)}; name yours with --text-column"
                " and, for sentence pairs, --pair-column"
            )
        if not _holds_texts(source.schema.field(name).type):
            kind = source.schema.field(name).type
            raise ValueError(f"{path}: column {name!r} holds {kind}, not texts; write it as strings")
    return source


def _holds_texts(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    types = pa.types
    allowed = (types.is_string, types.is_large_string, types.is_string_view, types.is_null)
    return any(test(kind) for test in allowed)


@contextmanager
def _one_error(path: Path) -> Iterator[None]:
    """Turn an error of Arrow into one line that names the file."""
    try:
        yield
    except pa.ArrowException as error:
        raise ValueError(f"{path} cannot be read: {one_line(error)}") from None


def _parquet(path: Path, text_columns: Sequence[str]) -> Source:
    with pq.ParquetFile(path) as file:
        read = partial(_read_parquet, path)
        return Source(path, file.metadata.num_rows, file.schema_arrow, text_columns, read)


def _read_parquet(path: Path) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER) as file:
        yield from file.iter_batches(CHUNK)


def _csv(path: Path, text_columns: Sequence[str]) -> Source:
    delimiter, rows, schema = look_through(path)
    read = partial(read_csv, path, delimiter) if rows else list
    return Source(path, rows, schema, text_columns, read)


def _json_lines(path: Path, text_columns: Sequence[str]) -> Source:
    rows, schema = find_schema(path, text_columns)
    if not rows:  # and so no names of columns
        schema = pa.schema([(name, pa.string()) for name in dict.fromkeys(text_columns)])
    return Source(path, rows, schema, text_columns, partial(read_json_lines, path, schema, CHUNK))


_KINDS: dict[str, Callable[[Path, Sequence[str]], Source]] = {
    ".parquet": _parquet,
    ".csv": _csv,
    ".tsv": _csv,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
}
