"""Tables in JSON lines: an object a line, whose values may differ in type from line to line.

A column has the type that all of its values have. Lists, objects, numbers beyond 64 bits and columns of mixed
types become JSON text, so that every value can be read from the result.
"""

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

_LARGEST = 2**63 - 1
_LARGEST_EXACT = 2**53  # as a float64


class _Wide(int):
    """The kind of integers that 64 bits hold, but a float64 does not."""


_TYPES = {
    frozenset[type](): pa.string(),
    frozenset([str]): pa.string(),
    frozenset([bool]): pa.bool_(),
    frozenset([int]): pa.int64(),
    frozenset([_Wide]): pa.int64(),
    frozenset([int, _Wide]): pa.int64(),
    frozenset([float]): pa.float64(),
    frozenset([int, float]): pa.float64(),
}
_JSON = {b"json": b"text"}  # metadata of a field that holds JSON text


def find_schema(path: Path, text_columns: Sequence[str]) -> tuple[int, pa.Schema]:
    """Return the number of rows of a file, and the schema that fits all of them.

    Raises:
        ValueError: a line is no JSON object in UTF-8, or a value of `text_columns` is no text.
    """
    rows, kinds = 0, dict[str, set[type]]()
    for number, record in _records(path):
        rows += 1
        for name, value in record.items():
            kinds.setdefault(name, set()).add(_kind(value))
            if name in text_columns and not isinstance(value, str | None):
                raise ValueError(f"{path}: line {number}: {name!r} is {value!r:.80}, no text")
    fields = []
    for name, found in kinds.items():
        kind = _TYPES.get(frozenset(found - {type(None)}))
        fields.append(pa.field(name, kind or pa.string(), metadata=None if kind else _JSON))
    return rows, pa.schema(fields)


def read_json_lines(path: Path, schema: pa.Schema, rows: int) -> Iterator[pa.RecordBatch]:
    """Yield the objects of a file as `schema`, at most `rows` at once; null where one lacks a column."""
    records = (record for _, record in _records(path))
    while chunk := [*islice(records, rows)]:
        arrays = [
            pa.array([_value(record.get(field.name), field) for record in chunk], field.type)
            for field in schema
        ]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _kind(value: object) -> type:
    """Return the type of a value; `list` for what no column holds as it is."""
    if isinstance(value, int) and abs(value) > _LARGEST_EXACT:
        return _Wide if abs(value) <= _LARGEST else list
    return type(value)


def _value(value: Any, field: pa.Field) -> Any:
    return json.dumps(value, ensure_ascii=False) if field.metadata and value is not None else value


def _records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the number and the object of each line that is not blank."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line.decode("utf-8-sig"))
                json.dumps(record, ensure_ascii=False).encode()  # no file can hold a lone surrogate
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{path}: line {number} is no JSON in UTF-8: {error}") from None
            if not isinstance(record, dict):
                raise ValueError(f"{path}: line {number} is no JSON object: {line[:80]!r}")
            yield number, record
