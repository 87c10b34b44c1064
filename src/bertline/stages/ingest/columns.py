"""From records to rows: which columns make up a text, what a label is called, when a time stamp was.

Guarantees one row per record, in order, and the same rows for one frame in every kind of file. A record whose
label or time stamp cannot be read becomes a row with a fault, like a record that could not be read. A lone
surrogate, which no file can hold, becomes U+FFFD.
"""

import json
from collections.abc import Mapping, Sequence

import pyarrow as pa

from bertline.params.ingest import Params, columns
from bertline.rows.extra import EXTRA_TYPE
from bertline.rows.labels import class_name
from bertline.rows.schema import make_rows
from bertline.stages.ingest.label_column import LabelColumn, Unreadable
from bertline.stages.ingest.records import Broken, Records
from bertline.stages.ingest.timestamps import ALLOWED, parse_times
from bertline.stages.ingest.values import MISSING, as_text, batch_name, clean, strings

SHOWN = 80  # characters of a value in a message


def to_rows(
    records: Records, params: Params, labels: LabelColumn, *, source: str, batch: str, side: str | None
) -> tuple[pa.Table, list[Broken]]:
    """Return records as a table of `SOURCE_SCHEMA`, and those that cannot be read.

    `batch` names the delivery unless a column does.
    """
    values, broken = records.columns, dict(records.broken)
    texts = _join_columns([values[name] for name in columns(params.text_column)])
    pairs = _join_columns([values[name] for name in columns(params.pair_column)])
    label_values, faults = _read_labels(values[params.label_column], labels)
    for at, fault in faults.items():
        broken.setdefault(at, _broken(values, at, params.label_column, fault))
    stamps: pa.Array | None = None
    if params.timestamp_column is not None:
        stamps, faults = _read_times(values[params.timestamp_column], params.timestamp_column)
        for at, fault in faults.items():
            broken.setdefault(at, _broken(values, at, params.timestamp_column, fault))
    batches: object = batch
    if params.batch_column is not None:
        names = values[params.batch_column]
        if isinstance(names, pa.Array):  # the time stamps of a Parquet file
            names = names.cast(pa.string()).to_pylist()
        batches = strings([batch_name(value) or batch for value in names])
    fault_texts: list[str | None] = [None] * len(label_values)
    for at, each in broken.items():
        texts[at], label_values[at], fault_texts[at] = each.raw, None, each.fault
        if pairs:
            pairs[at] = None
    rows = make_rows(
        strings(texts),
        strings(label_values),
        text_pair=strings(pairs) if pairs else None,
        source=source,
        batch=batches,
        timestamp=stamps,
        side=side,
        extra=_keep_columns(values, params.keep_columns, len(texts)),
        fault=strings(fault_texts),
    )
    return rows, [broken[at] for at in sorted(broken)]


def _keep_columns(values: Mapping[str, Sequence[object]], names: Sequence[str], rows: int) -> pa.Array | None:
    """Return for each row the values of the columns `names` that are not blank, as a map; null for none."""
    kept: list[dict[str, str]] = [{} for _ in range(rows)]
    for name in names:
        column = values.get(name, ())
        if isinstance(column, pa.Array):  # the time stamps of a Parquet file
            column = column.cast(pa.string()).to_pylist()
        for row, value in zip(kept, column, strict=False):
            if (text := class_name(as_text(value) or "")) not in MISSING:  # 47.0 is 47, as in a label
                row[name] = clean(text)
    return pa.array([[*row.items()] or None for row in kept], EXTRA_TYPE) if names else None


def _join_columns(parts: list[Sequence[object]]) -> list[str | None]:
    """Return the texts of rows: one column as it is, several joined by line breaks without blank values."""
    if len(parts) <= 1:
        return [as_text(value) or "" for value in parts[0]] if parts else []
    rows = ([as_text(value) or "" for value in row] for row in zip(*parts, strict=True))
    return ["\n".join(text for text in row if text.strip()) for row in rows]


def _read_labels(
    values: Sequence[object], labels: LabelColumn
) -> tuple[list[str | None], dict[int, Unreadable]]:
    read = [labels.read(value) for value in values]
    faults = {at: label for at, label in enumerate(read) if isinstance(label, Unreadable)}
    return [None if isinstance(label, Unreadable) else label for label in read], faults


def _read_times(values: Sequence[object], column: str) -> tuple[pa.Array, dict[int, Unreadable]]:
    if isinstance(values, pa.Array):  # Parquet has types for times
        return values, {}
    texts = [as_text(value) for value in values]
    stamps, bad = parse_times(texts)
    reason = f"is not a time (ingest.timestamp_column {column!r}; allowed: {ALLOWED})"
    return stamps, {at: Unreadable(reason, str(texts[at]).strip()) for at in bad}


def _broken(values: Mapping[str, Sequence[object]], at: int, column: str, fault: Unreadable) -> Broken:
    """Return the record at `at` as one that cannot be read, because of its value in `column`."""
    record = {name: each[at] for name, each in values.items() if not isinstance(each, pa.Array)}
    given = fault.value if len(fault.value) <= SHOWN else f"{fault.value[:SHOWN]}..."
    raw = json.dumps(record, ensure_ascii=False, default=str)
    return Broken(f"{column!r}: {given!r} {fault.reason}", raw, f"{column!r} {fault.reason}", repr(given))
