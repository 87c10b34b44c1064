"""What a row is: its columns, its id, and when two texts are the same; reading and writing tables of rows.

Guarantees that a table read or written here has exactly the columns and types of `ROWS`. Does not
guarantee that the values make sense: that is what `validate` judges.
"""

import hashlib
import json
import unicodedata
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

ROWS = pa.schema(
    {
        "id": pa.string(),
        "text": pa.string(),
        "label": pa.string(),
        "source": pa.string(),
        "timestamp": pa.timestamp("us", "UTC"),
    }
)


def content_key(text: str) -> str:
    """Return what makes two texts "the same": NFKC, case folded, white space collapsed; blank text gives ''.

    Normalised before and after the folding, so that the key of a key is the key (Unicode 3.13, D146).
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(folded.split())


def content_keys(texts: pa.ChunkedArray) -> pa.Array:
    """Return the `content_key` of each text, [rows] strings; null stays null."""
    return pa.array([None if text is None else content_key(text) for text in texts.to_pylist()], pa.string())


def with_ids(columns: pa.Table) -> pa.Table:
    """Return `columns` (all of `ROWS` but the id) as rows in the same order.

    The id is the first 32 hex digits of SHA-256 over the JSON list [text, label], so a row has the same id
    in every batch. Where the same pair comes again (without duplicates: only null and blank ones do),
    the number of its earlier occurrences goes into the hash too, and ids stay unique.
    """
    earlier: Counter[tuple[str | None, str | None]] = Counter()
    ids = []
    for pair in zip(columns["text"].to_pylist(), columns["label"].to_pylist(), strict=True):
        content = [*pair, earlier[pair]] if earlier[pair] else [*pair]
        ids.append(hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32])
        earlier[pair] += 1
    return columns.add_column(0, ROWS.field("id"), pa.array(ids, pa.string())).select(ROWS.names).cast(ROWS)


def read_table(path: Path) -> pa.Table:
    """Read a Parquet file of any columns.

    Raises:
        ValueError: the file is missing or is not Parquet.
    """
    try:
        return pq.ParquetFile(path).read()
    except FileNotFoundError:
        raise ValueError(f"{path} is not here; `dvc repro` makes it") from None
    except (pa.ArrowException, IsADirectoryError) as error:
        raise ValueError(f"{path} is not a Parquet file: {one_line(error)}") from None


def read_rows(path: Path) -> pa.Table:
    """Read a table of rows.

    Raises:
        ValueError: the file is missing, is not Parquet, or its columns are not those of `ROWS`.
    """
    table = read_table(path)
    _check(table.schema, ROWS, path)
    return table


def write_rows(table: pa.Table, path: Path, schema: pa.Schema = ROWS) -> None:
    """Write `table` as Parquet, and make the folder it goes to.

    Raises:
        ValueError: the columns of `table` are not those of `schema`.
    """
    _check(table.schema, schema, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd")


def one_line(error: Exception, limit: int = 300) -> str:
    """Return the message of `error` on one line, at most `limit` characters long."""
    message = " ".join(str(error).split())
    return message if len(message) <= limit else f"{message[:limit]}..."


def _check(found: pa.Schema, expected: pa.Schema, path: Path) -> None:
    if not found.equals(expected):
        raise ValueError(f"{path} has columns {_describe(found)}; expected {_describe(expected)}")


def _describe(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name}: {field.type}" for field in schema) or "(none)"
