"""Reading and writing tables of rows as Parquet files.

Guarantees that a table read or written here has exactly the columns and types of its schema, and that the
bytes of a file depend on its rows alone, not on the chunks they came in. A file from before rows had the
column `extra` is read as one in which nothing was kept. Does not guarantee that the values make sense: that
is what `validate` judges.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bertline.rows.extra import EXTRA
from bertline.rows.labels import SINGLE_LABEL, LabelSpace, in_scope
from bertline.rows.schema import CHUNK, ROW_SCHEMA


def inputs(rows: pa.Table) -> list[str | tuple[str, str]]:
    """Return what a tokenizer takes of each row: its text, or the two texts of a sentence pair."""
    texts, pairs = rows["text"].to_pylist(), rows["text_pair"].to_pylist()
    return [text if pair is None else (text, pair) for text, pair in zip(texts, pairs, strict=True)]


def read_chunks(
    path: Path, schema: pa.Schema = ROW_SCHEMA, columns: list[str] | None = None
) -> Iterator[pa.Table]:
    """Yield the rows of a Parquet file in order, at most `CHUNK` at a time; all columns, or only `columns`.

    Raises:
        ValueError: the file is missing, is not Parquet, or its columns are not those of `schema`.
    """
    with _open(path) as file:
        older = _lacks_extra(file.schema_arrow, schema, path)
        read = [name for name in columns or [] if not (older and name == EXTRA)]
        for batch in file.iter_batches(CHUNK, columns=None if columns is None else read):
            rows = pa.Table.from_batches([batch])
            yield _with_extra(rows, schema) if older and EXTRA in (columns or [EXTRA]) else rows


def read_chunks_in_scope(path: Path, columns: list[str]) -> Iterator[pa.Table]:
    """Yield `columns` of the rows of a file that are in scope, in order, and no empty table.

    Raises:
        ValueError: as in `read_chunks`.
    """
    for chunk in read_chunks(path, columns=[*dict.fromkeys([*columns, "label"])]):
        rows = in_scope(chunk).select(columns)
        if len(rows):
            yield rows


def read_rows(path: Path, schema: pa.Schema = ROW_SCHEMA) -> pa.Table:
    """Read a whole table of rows.

    Raises:
        ValueError: as in `read_chunks`.
    """
    with _open(path) as file:
        older = _lacks_extra(file.schema_arrow, schema, path)
        return _with_extra(file.read(), schema) if older else file.read()


def read_label_space(path: Path) -> LabelSpace:
    """Return whether the rows of a file may have several labels each: their space, without the classes."""
    with _open(path) as file:
        return LabelSpace.from_metadata(file.schema_arrow.metadata)


def write_rows(
    rows: pa.Table | Iterable[pa.Table],
    path: Path,
    schema: pa.Schema = ROW_SCHEMA,
    *,
    space: LabelSpace = SINGLE_LABEL,
) -> int:
    """Write a table, or tables one after the other, as Parquet; make its folder; return the rows written.

    Raises:
        ValueError: the columns of a table are not those of `schema`.
    """
    tables = [rows] if isinstance(rows, pa.Table) else rows
    written = 0
    writer = None
    try:
        for table in _rechunk(tables, schema, path):
            if writer is None:
                path.parent.mkdir(parents=True, exist_ok=True)
                writer = pq.ParquetWriter(path, schema.with_metadata(space.metadata), compression="zstd")
            writer.write_table(table.replace_schema_metadata(space.metadata), row_group_size=CHUNK)
            written += len(table)
    finally:
        if writer is not None:
            writer.close()
    return written


def one_line(error: Exception, limit: int = 300) -> str:
    """Return the message of `error` on one line, at most `limit` characters long."""
    message = " ".join(str(error).split())
    return message if len(message) <= limit else f"{message[:limit]}..."


def _rechunk(tables: Iterable[pa.Table], schema: pa.Schema, path: Path) -> Iterator[pa.Table]:
    """Yield the same rows `CHUNK` at a time, the last ones fewer; an empty table if there are none."""
    waiting = schema.empty_table()
    for table in tables:
        _check(table.schema, schema, path)
        waiting = pa.concat_tables([waiting, table.replace_schema_metadata(None)])
        while len(waiting) > CHUNK:
            yield waiting.slice(0, CHUNK)
            waiting = waiting.slice(CHUNK)
    yield waiting


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, pre_buffer=False)  # True keeps what was read in memory until the end
    except FileNotFoundError:
        raise ValueError(f"{path} is not here; `dvc repro` makes it") from None
    except (pa.ArrowException, IsADirectoryError) as error:
        raise ValueError(f"{path} is not a Parquet file: {one_line(error)}") from None


def _lacks_extra(found: pa.Schema, schema: pa.Schema, path: Path) -> bool:
    """Return whether a file was written before rows had the column `EXTRA`; check its other columns."""
    older = EXTRA in schema.names and EXTRA not in found.names
    _check(found, schema.remove(schema.get_field_index(EXTRA)) if older else schema, path)
    return older


def _with_extra(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    place = min(schema.get_field_index(EXTRA), rows.num_columns)
    return rows.add_column(place, schema.field(EXTRA), pa.nulls(len(rows), schema.field(EXTRA).type))


def _check(found: pa.Schema, expected: pa.Schema, path: Path) -> None:
    if not found.equals(expected):
        raise ValueError(f"{path} has columns {_describe(found)}; expected {_describe(expected)}")


def _describe(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name}: {field.type}" for field in schema) or "(none)"
