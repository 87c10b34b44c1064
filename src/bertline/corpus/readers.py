"""Records of JSON Lines and Parquet files, and what every reader yields.

Guarantees that each non-blank record becomes one row of `Records`, in the order of the file: one that
cannot be read as it should becomes a broken row that holds it raw. Only a file that is unusable as a whole
(no such column, not Parquet) is a ValueError. The readers of CSV and TSV are in `delimited`.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import NamedTuple, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bertline.corpus.rows import SOURCED

BOUNDS = (datetime.min, datetime.max)
SECONDS = pa.timestamp("s", "UTC")
HELD = 8192  # records held as Python objects at once: texts may be long
Wanted = dict[str, str]
"""The columns to read, and for each the key of ingest that asks for it: {"body": "text_column", ...}."""


class Broken(NamedTuple):
    """A record that cannot be read as it should."""

    fault: str
    raw: str


class Repaired(list[str]):
    """The fields of a record whose quotes or surplus delimiters had to be interpreted."""


@dataclass(frozen=True)
class Records:
    """At most `HELD` records: their values [rows] by column; nulls where a record is broken."""

    columns: Mapping[str, Sequence[object]]
    broken: dict[int, Broken]  # by position
    repaired: int


def collect(items: Iterator[Sequence[object] | Broken], fields: dict[str, int]) -> Iterator[Records]:
    """Yield records from single ones; `fields` says where in a single record each column stands."""
    width = max(fields.values()) + 1
    while chunk := list(islice(items, HELD)):
        broken = {at: item for at, item in enumerate(chunk) if isinstance(item, Broken)}
        for at in broken:
            chunk[at] = [None] * width
        columns = {name: [item[field] for item in chunk] for name, field in fields.items()}
        yield Records(columns, broken, sum(type(item) is Repaired for item in chunk))


def check_columns(names: Sequence[str], wanted: Wanted) -> None:
    """Raise a ValueError that lists `names` unless each wanted column is there exactly once."""
    for column, key in wanted.items():
        if names.count(column) != 1:
            fault = "no column" if column not in names else "more than one column"
            raise ValueError(f"{fault} {column!r} (ingest.{key}); the file has: {', '.join(names)}")


def read_jsonl(lines: Iterator[str], wanted: Wanted, multi_label: bool) -> Iterator[Records]:
    """Read one JSON object a line. Values are strings, integers or booleans; labels may be lists of them.

    A column that a record lacks is null there; one that all of them lack is an error.
    """
    return collect(_read_objects(lines, wanted, multi_label), {name: i for i, name in enumerate(wanted)})


def _read_objects(
    lines: Iterable[str], wanted: Wanted, multi_label: bool
) -> Iterator[Sequence[object] | Broken]:
    missing = set(wanted)
    names: dict[str, None] = {}
    objects = 0
    for number, line in enumerate(lines, start=1):
        raw = line.rstrip("\r\n")
        if not raw.strip(" \t\r"):
            continue
        try:
            record = _parse_object(raw)
            if missing:
                names |= dict.fromkeys(record)
                missing.difference_update(record)
            objects += 1
            yield [_json_value(record.get(name), name, wanted[name], multi_label) for name in wanted]
        except ValueError as error:
            yield Broken(f"line {number}{error}", raw)
    if objects and missing:
        check_columns(list(names), wanted)


def _parse_object(line: str) -> dict[str, object]:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f" is not JSON: {error.msg} at column {error.colno}") from None
    except (ValueError, RecursionError) as error:  # too long a number, too deep a nesting
        raise ValueError(f" is not JSON that can be read: {error}") from None
    if not isinstance(record, dict):
        raise ValueError(f" is not a JSON object but {line[:80]!r}")
    return record


def _json_value(value: object, name: str, key: str, multi_label: bool) -> object:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return json.dumps(value)
    if isinstance(value, list) and key == "label_column":
        if not multi_label:
            raise ValueError(f": {name!r} is a list; set ingest.label_separator to have several labels a row")
        return [_json_value(each, name, "", multi_label) for each in value]
    raise ValueError(f": {name!r} is {json.dumps(value)[:80]}; allowed: a string or an integer")


def read_parquet(path: Path, wanted: Wanted, multi_label: bool) -> Iterator[Records]:
    """Read the columns of a Parquet file: strings, integers or booleans, times, and lists of labels."""
    try:
        if not path.stat().st_size:
            raise ValueError("the file is empty (0 bytes)")
        with pq.ParquetFile(path) as file:
            check_columns(file.schema_arrow.names, wanted)
            for batch in file.iter_batches(HELD, columns=list(wanted)):
                batch.validate(full=True)
                yield _arrow_records(batch, wanted, multi_label)
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"not Parquet that can be read: {error}") from None


def _arrow_records(batch: pa.RecordBatch, wanted: Wanted, multi_label: bool) -> Records:
    values: dict[str, Sequence[object]] = {}
    untimely: dict[int, str] = {}
    for name, key in wanted.items():
        column = batch[name]
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if pa.types.is_temporal(column.type) and key == "timestamp_column":
            values[name], untimely = _arrow_times(column)
        else:
            values[name] = _arrow_values(column, name, key, multi_label)
    broken = {}
    for at, given in untimely.items():
        record = {
            name: given if key == "timestamp_column" else values[name][at] for name, key in wanted.items()
        }
        fault = f"{given} is out of range (ingest.timestamp_column; allowed: the years 1 to 9999)"
        broken[at] = Broken(fault, json.dumps(record, ensure_ascii=False))
    return Records(values, broken, 0)


def _arrow_times(column: pa.Array) -> tuple[pa.Array, dict[int, str]]:
    """Return time stamps, null where no `datetime` can hold them, and what stood there by position."""
    second = pc.CastOptions(SECONDS, allow_time_truncate=True)  # no unit has a wider range
    stamp = pc.CastOptions(SOURCED.field("timestamp").type, allow_time_truncate=True)
    seconds = column.cast(options=second)
    first, last = (pa.scalar(each.replace(tzinfo=UTC, microsecond=0), SECONDS) for each in BOUNDS)
    sane = pc.and_(pc.greater_equal(seconds, first), pc.less_equal(seconds, last))
    bad = pc.indices_nonzero(pc.invert(sane)).to_pylist()
    untimely = {at: f"{column[at].value} ({column.type})" for at in bad}
    return pc.if_else(sane, column, None).cast(options=stamp), untimely


def _arrow_values(column: pa.Array, name: str, key: str, multi_label: bool) -> Sequence[object]:
    kind = column.type
    string = pa.string()
    if pa.types.is_temporal(kind) and key == "batch_column":
        return cast(Sequence[object], column.cast(string).to_pylist())
    if key == "label_column" and multi_label and (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        kind, string = kind.value_type, pa.list_(pa.string())
    textual = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    if not (textual or pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind)):
        raise ValueError(f"column {name!r} holds {kind}; allowed: strings or integers")
    return cast(Sequence[object], column.cast(string).to_pylist())
