"""The records that every reader of files yields: `Records`, at most `RECORDS_AT_ONCE` at a time.

Guarantees that each non-blank record becomes one row of `Records`, in the order of the file: one that cannot
be read as it should becomes a broken row that holds it raw. A file that is unusable as a whole (no such
column, not Parquet) is a ValueError. The readers are `delimited`, `jsonl` and `parquet`.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

RECORDS_AT_ONCE = 8192  # held as Python objects: texts may be long
ColumnSpec = dict[str, str]
"""The columns to read, and for each the key of ingest that asks for it: {"body": "text_column", ...}."""

OPTIONAL = "keep_columns"
"""The key of columns that a file may lack: older deliveries do not have what is kept since today."""


class Broken(NamedTuple):
    """A record that cannot be read as it should."""

    fault: str  # in full, with the line
    raw: str
    reason: str = ""  # the same for all records with this fault: without line and value; "": as `fault`
    example: str = ""  # the line or the value; never a text


class Repaired(list[str]):
    """The fields of a record whose quotes or surplus delimiters had to be interpreted."""


@dataclass(frozen=True)
class Records:
    """At most `RECORDS_AT_ONCE` records: their values [rows] by column; nulls where a record is broken.

    A column of the key `OPTIONAL` is not among them where the file lacks it. `names` has all columns of the
    file; of JSON, those that were met until none was missing.
    """

    columns: Mapping[str, Sequence[object]]
    broken: dict[int, Broken]  # by position
    repaired: int
    names: Collection[str]


def collect(
    items: Iterator[Sequence[object] | Broken], fields: dict[str, int], names: Collection[str]
) -> Iterator[Records]:
    """Yield records of a file with the columns `names` from single ones.

    `fields` says where in a single record each wanted column stands.
    """
    width = max(fields.values()) + 1
    while chunk := list(islice(items, RECORDS_AT_ONCE)):
        broken = {at: item for at, item in enumerate(chunk) if isinstance(item, Broken)}
        for at in broken:
            chunk[at] = [None] * width
        columns = {name: [item[field] for item in chunk] for name, field in fields.items()}
        yield Records(columns, broken, sum(type(item) is Repaired for item in chunk), names)


def check_columns(names: Sequence[str], wanted: ColumnSpec) -> None:
    """Raise a ValueError that lists `names` unless each wanted column is there once; `OPTIONAL` may lack."""
    for column, key in wanted.items():
        if names.count(column) != 1 and not (key == OPTIONAL and column not in names):
            fault = "no column" if column not in names else "more than one column"
            raise ValueError(f"{fault} {column!r} (ingest.{key}); the file has: {', '.join(names)}")
