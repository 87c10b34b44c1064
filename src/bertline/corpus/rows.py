"""What a row is: its columns, its ids, and when two texts are the same; reading and writing tables of rows.

Guarantees that a table read or written here has exactly the columns and types of `ROWS`, and that the
bytes of a file depend on its rows alone, not on the chunks they came in. Does not guarantee that the
values make sense: that is what `validate` judges.
"""

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from json.encoder import encode_basestring_ascii as _quote  # a third of the time of json.dumps
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

SOURCED = pa.schema(
    {
        "text": pa.string(),
        "text_pair": pa.string(),  # the second text of a sentence pair, else null
        "label": pa.string(),  # of a multi-label target: the labels, sorted and joined by LABEL_SEPARATOR
        "source": pa.string(),  # the file or the packaged sample
        "batch": pa.string(),  # the delivery that brought the row: a column of the file, or the file's name
        "timestamp": pa.timestamp("us", "UTC"),
        "side": pa.string(),  # "validation" or "test" where the source's own split says so, else null
        "fault": pa.string(),  # why the record could not be read as it should; text then holds it raw
    }
)
"""What a source knows of a row."""

ROWS = pa.schema([pa.field("id", pa.string()), pa.field("content_id", pa.string()), *SOURCED])
"""A row: `id` stands for text and label, `content_id` for the normalised text (null where it is blank)."""

LABEL_SEPARATOR = "\x1f"
# Soft hyphen, zero-width space, word joiner, byte order mark; not the joiners that some scripts spell with.
_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u2060\ufeff"))
CHUNK = 65_536  # rows held at once, and rows of a Parquet row group


def content_key(text: str) -> str:
    """Return what makes two texts "the same"; blank text gives ''.

    Invisible characters are left out, NFKC and case folding applied, and white space collapsed.

    Normalised before and after the folding, so that the key of a key is the key (Unicode 3.13, D146).
    """
    if text.isascii():  # nothing to normalise, and most texts
        return " ".join(text.lower().split())
    visible = unicodedata.normalize("NFKC", text.translate(_INVISIBLE))
    return " ".join(unicodedata.normalize("NFKC", visible.casefold()).split())


def label_name(value: str) -> str:
    """Return a label in NFC, without invisible characters and white space around: as people see it."""
    if value.isascii():
        return value.strip()
    return unicodedata.normalize("NFC", value.translate(_INVISIBLE)).strip()


def content_id(text: str | None, text_pair: str | None = None) -> str | None:
    """Return the id that all rows of "the same" text share, 32 hex digits; None for a null or blank text."""
    key = content_key(text or "")
    if not key:
        return None
    if text_pair is not None:
        key = f"{key}{LABEL_SEPARATOR}{content_key(text_pair)}"
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def make_rows(
    text: object,
    label: object,
    *,
    text_pair: object = None,
    source: object = "",
    batch: object = "",
    timestamp: object = None,
    side: object = None,
    fault: object = None,
) -> pa.Table:
    """Return a table of `SOURCED` from sequences or Arrow arrays [rows]; a single value is repeated."""
    columns = [text, text_pair, label, source, batch, timestamp, side, fault]
    rows = len(text)  # type: ignore[arg-type]

    def column(values: object, kind: pa.DataType) -> object:
        if values is None or isinstance(values, str):
            return pa.repeat(pa.scalar(values, kind), rows)
        if isinstance(values, pa.Array | pa.ChunkedArray):
            return values.cast(kind)
        return pa.array(values, kind)

    return pa.table(
        [column(values, field.type) for values, field in zip(columns, SOURCED, strict=True)], schema=SOURCED
    )


class Identifier:
    """Gives rows their ids; one for each table, because a row without text or label may come twice.

    `id` is the first 32 hex digits of SHA-256 over the JSON list [text, label] (of a pair: [text,
    text_pair, label]), so a row has the same id in every batch. Where the same null or blank row comes
    again (duplicates of others are dropped), the number of its earlier occurrences goes into the hash too.
    """

    def __init__(self) -> None:
        self._earlier: Counter[tuple[str | None, ...]] = Counter()

    def identify(self, sourced: pa.Table) -> pa.Table:
        """Return the rows of `sourced` (a table of `SOURCED`) as `ROWS`, in the same order."""
        texts, pairs, labels = (sourced[name].to_pylist() for name in ("text", "text_pair", "label"))
        content_ids = [content_id(*both) for both in zip(texts, pairs, strict=True)]
        ids = pa.array(self._ids(texts, pairs, labels, content_ids), pa.string())
        columns = [ids, pa.array(content_ids, pa.string()), *sourced.select(SOURCED.names).columns]
        return pa.table(columns, schema=ROWS)

    def _ids(
        self,
        texts: list[str | None],
        pairs: list[str | None],
        labels: list[str | None],
        content_ids: list[str | None],
    ) -> Iterator[str]:
        for text, pair, label, content in zip(texts, pairs, labels, content_ids, strict=True):
            key = (text, label) if pair is None else (text, pair, label)
            parts = ["null" if part is None else _quote(part) for part in key]
            if content is None or not label:
                if self._earlier[key]:
                    parts.append(str(self._earlier[key]))
                self._earlier[key] += 1
            yield hashlib.sha256(f"[{', '.join(parts)}]".encode()).hexdigest()[:32]


def with_ids(sourced: pa.Table) -> pa.Table:
    """Return the rows of `sourced`, a whole table of `SOURCED`, as `ROWS` in the same order."""
    return Identifier().identify(sourced)


def count_labels(rows: pa.Table, *, multi_label: bool) -> Counter[str]:
    """Return how many rows bear each label; a row of a multi-label target counts for each of its labels."""
    labels = pc.drop_null(rows["label"])
    if multi_label:
        labels = pc.list_flatten(
            pc.split_pattern(pc.filter(labels, pc.not_equal(labels, "")), LABEL_SEPARATOR)
        )
    return Counter({each["values"]: each["counts"] for each in pc.value_counts(labels).to_pylist()})


def split_labels(label: str) -> list[str]:
    """Return the labels of a multi-label row, of which "" has none, by its `label`."""
    return label.split(LABEL_SEPARATOR) if label else []


def label_matrix(labels: Sequence[str], classes: Sequence[str]) -> npt.NDArray[np.uint8]:
    """Return which of `classes` [C] each multi-label row bears: uint8 [N, C] of 0 and 1.

    Raises:
        KeyError: a row bears a label that is not among `classes`.
    """
    column = {label: i for i, label in enumerate(classes)}
    matrix = np.zeros((len(labels), len(classes)), dtype=np.uint8)
    for row, label in enumerate(labels):
        matrix[row, [column[each] for each in split_labels(label)]] = 1
    return matrix


def inputs(rows: pa.Table) -> list[str | tuple[str, str]]:
    """Return what a tokenizer takes of each row: its text, or the two texts of a sentence pair."""
    texts, pairs = rows["text"].to_pylist(), rows["text_pair"].to_pylist()
    return [text if pair is None else (text, pair) for text, pair in zip(texts, pairs, strict=True)]


def read_chunks(path: Path, schema: pa.Schema = ROWS, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """Yield the rows of a Parquet file in order, at most `CHUNK` at a time; all columns, or only `columns`.

    Raises:
        ValueError: the file is missing, is not Parquet, or its columns are not those of `schema`.
    """
    with _open(path) as file:
        _check(file.schema_arrow, schema, path)
        for batch in file.iter_batches(CHUNK, columns=columns):
            yield pa.Table.from_batches([batch])


def read_rows(path: Path, schema: pa.Schema = ROWS) -> pa.Table:
    """Read a whole table of rows.

    Raises:
        ValueError: as in `read_chunks`.
    """
    with _open(path) as file:
        _check(file.schema_arrow, schema, path)
        return file.read()


def is_multi_label(path: Path) -> bool:
    """Return whether the rows of a file may have several labels each, or none."""
    with _open(path) as file:
        return (file.schema_arrow.metadata or {}).get(b"target") == b"multi_label"


def write_rows(
    rows: pa.Table | Iterable[pa.Table],
    path: Path,
    schema: pa.Schema = ROWS,
    *,
    multi_label: bool = False,
) -> int:
    """Write a table, or tables one after the other, as Parquet; make its folder; return the rows written.

    Raises:
        ValueError: the columns of a table are not those of `schema`.
    """
    tables = [rows] if isinstance(rows, pa.Table) else rows
    target = {"target": "multi_label" if multi_label else "single_label"}
    written = 0
    writer = None
    try:
        for table in _rechunk(tables, schema, path):
            if writer is None:
                path.parent.mkdir(parents=True, exist_ok=True)
                writer = pq.ParquetWriter(path, schema.with_metadata(target), compression="zstd")
            writer.write_table(table.replace_schema_metadata(target), row_group_size=CHUNK)
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


def _check(found: pa.Schema, expected: pa.Schema, path: Path) -> None:
    if not found.equals(expected):
        raise ValueError(f"{path} has columns {_describe(found)}; expected {_describe(expected)}")


def _describe(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name}: {field.type}" for field in schema) or "(none)"
