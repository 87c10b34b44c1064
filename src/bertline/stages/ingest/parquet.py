"""Records of Parquet files.

A column may hold strings, numbers or booleans. A label column may also hold lists of them, and the columns of
time stamps and batches, and kept ones, may hold time stamps and dates.
"""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bertline.rows.labels import LabelSpace
from bertline.rows.schema import SOURCE_SCHEMA
from bertline.stages.ingest.label_column import NEEDS_SEPARATOR
from bertline.stages.ingest.records import (
    OPTIONAL,
    RECORDS_AT_ONCE,
    Broken,
    ColumnSpec,
    Records,
    check_columns,
)

BOUNDS = (datetime.min, datetime.max)
SECONDS = pa.timestamp("s", "UTC")
MOMENTS = ("timestamp_column", "batch_column", OPTIONAL)
"""The keys of columns that may hold time stamps and dates."""


def read_parquet(path: Path, wanted: ColumnSpec, space: LabelSpace) -> Iterator[Records]:
    """Read the columns of a Parquet file; one without rows has no records, with any columns.

    Raises:
        ValueError: the file is not Parquet, lacks a column, or a column has another type than is allowed.
    """
    try:
        if not path.stat().st_size:
            raise ValueError(
                "the file is empty (0 bytes), which is not Parquet; remove it, or fetch it again"
            )
        with pq.ParquetFile(path) as file:
            if not file.metadata.num_rows:
                return
            names = file.schema_arrow.names
            check_columns(names, wanted)
            wanted = {name: key for name, key in wanted.items() if name in names}
            for name, key in wanted.items():
                _check_type(file.schema_arrow.field(name).type, name, key, space)
            for batch in file.iter_batches(RECORDS_AT_ONCE, columns=list(wanted)):
                batch.validate(full=True)
                yield _to_records(batch, wanted, names)
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"not Parquet that can be read: {error}") from None


def _check_type(kind: pa.DataType, name: str, key: str, space: LabelSpace) -> None:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if key == "label_column" and (element := _element(kind)) is not None and _is_scalar(element):
        if not space.multi_label:
            raise ValueError(f"column {name!r} {NEEDS_SEPARATOR}")
        return
    moment = pa.types.is_timestamp(kind) or pa.types.is_date(kind)
    if _is_scalar(kind) or (moment and key in MOMENTS):
        return
    allowed = "strings, numbers or booleans"
    if key in MOMENTS:
        allowed = "time stamps, dates, strings or numbers"
    raise ValueError(f"column {name!r} (ingest.{key}) holds {kind}; allowed: {allowed}")


def _element(kind: pa.DataType) -> pa.DataType | None:
    """Return the type of the values of a list, None for any other type."""
    lists = (pa.ListType, pa.LargeListType, pa.FixedSizeListType, pa.ListViewType, pa.LargeListViewType)
    if not isinstance(kind, lists):
        return None
    element = kind.value_type
    return element.value_type if pa.types.is_dictionary(element) else element


def _is_scalar(kind: pa.DataType) -> bool:
    types = pa.types
    text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    number = types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)
    return bool(text or number or types.is_boolean(kind) or types.is_null(kind))


def _to_records(batch: pa.RecordBatch, wanted: ColumnSpec, names: Sequence[str]) -> Records:
    values: dict[str, Sequence[object]] = {}
    out_of_range: dict[int, str] = {}
    for name, key in wanted.items():
        column = batch[name]
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if pa.types.is_temporal(column.type) and key == "timestamp_column":
            values[name], out_of_range = _read_times(column)
        else:
            values[name] = _read_values(column)
    broken = {}
    for at, given in out_of_range.items():
        record = {
            name: given if key == "timestamp_column" else values[name][at] for name, key in wanted.items()
        }
        reason = "is out of range (ingest.timestamp_column; allowed: the years 1 to 9999)"
        raw = json.dumps(record, ensure_ascii=False, default=str)
        broken[at] = Broken(f"{given} {reason}", raw, f"a time {reason}", given)
    return Records(values, broken, 0, names)


def _read_times(column: pa.Array) -> tuple[pa.Array, dict[int, str]]:
    """Return time stamps, null where no `datetime` can hold them, and what stood there by position."""
    second = pc.CastOptions(SECONDS, allow_time_truncate=True)  # no unit has a wider range
    stamp = pc.CastOptions(SOURCE_SCHEMA.field("timestamp").type, allow_time_truncate=True)
    seconds = column.cast(options=second)
    first, last = (pa.scalar(each.replace(tzinfo=UTC, microsecond=0), SECONDS) for each in BOUNDS)
    sane = pc.and_(pc.greater_equal(seconds, first), pc.less_equal(seconds, last))
    bad = pc.indices_nonzero(pc.invert(sane)).to_pylist()
    out_of_range = {at: f"{column[at].value} ({column.type})" for at in bad}
    return pc.if_else(sane, column, None).cast(options=stamp), out_of_range


def _read_values(column: pa.Array) -> Sequence[object]:
    kind = column.type
    if pa.types.is_temporal(kind):
        column = column.cast(pa.string())
    elif pa.types.is_float16(kind) or pa.types.is_float32(kind):  # 0.1, not 0.10000000149011612
        narrow = np.float16 if pa.types.is_float16(kind) else np.float32
        texts = (None if value is None else str(narrow(value)) for value in column.to_pylist())
        return [None if text == "nan" else text for text in texts]
    return cast(Sequence[object], column.to_pylist())
