"""From records to rows: which columns make up a text, what a label is called, when a time stamp was.

Guarantees one row per record, in order. A record with a time stamp that is none becomes a row with a
fault, like one that could not be read. A lone surrogate, which no file can hold, becomes U+FFFD.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc

from bertline.corpus.readers import Broken, Records
from bertline.corpus.rows import LABEL_SEPARATOR, SOURCED, label_name, make_rows
from bertline.params.ingest import Params, columns


def to_rows(records: Records, params: Params, source: str, batch: str, side: str | None) -> pa.Table:
    """Return records as a table of `rows.SOURCED`; `batch` names the delivery unless a column does."""
    values = records.columns
    texts = _joined([values[name] for name in columns(params.text_column)])
    # A missing second text is a blank one: null would make a single text of the pair.
    second = _joined([values[name] for name in columns(params.pair_column)])
    pairs = ["" if text is None else text for text in second]
    name_of = _labels(params)
    labels = [None if label is None else name_of(label) for label in values[params.label_column]]
    broken = dict(records.broken)
    stamps: object = None
    if params.timestamp_column is not None:
        stamps, bad = _timestamps(values[params.timestamp_column])
        broken |= {at: _untimely(values, at, params.timestamp_column) for at in bad}
    batches: object = batch
    if params.batch_column is not None:
        batches = strings([name or batch for name in _trimmed(values[params.batch_column])])
    faults: list[str | None] = [None] * len(labels)
    for at, (fault, raw) in broken.items():
        texts[at], labels[at], faults[at] = raw, None, fault
        if pairs:
            pairs[at] = None
    return make_rows(
        strings(texts),
        strings(labels),
        text_pair=strings(pairs) if pairs else None,
        source=source,
        batch=batches,
        timestamp=stamps,
        side=side,
        fault=strings(faults),
    )


def strings(values: Sequence[object]) -> pa.Array | pa.ChunkedArray:
    """Return strings and nulls as an Arrow array; ones that UTF-8 cannot hold are mended."""
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:
        return pa.array([clean(value) if isinstance(value, str) else None for value in values], pa.string())


def clean(text: str) -> str:
    """Return `text` with lone surrogates replaced by U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _joined(parts: list[Sequence[object]]) -> list[object]:
    """Join several columns by line breaks, without null and blank values; leave one column as it is."""
    if len(parts) <= 1:
        return list(parts[0]) if parts else []
    return [_join([str(value) for value in row if value is not None]) for row in zip(*parts, strict=True)]


def _join(values: list[str]) -> str | None:
    return "\n".join(value for value in values if value.strip()) if values else None


def _labels(params: Params) -> Callable[[object], str]:
    """Return what turns a value of the label column into a label, or into several joined ones."""
    separator = params.label_separator
    renamed = {label_name(value): label_name(name) for value, name in params.label_map.items()}

    @lru_cache(maxsize=10_000)
    def several(values: tuple[str | None, ...]) -> str:
        names = {label_name(value or "") for value in values} - {""}
        return LABEL_SEPARATOR.join(sorted({renamed.get(name, name) for name in names}))

    @lru_cache(maxsize=10_000)
    def one(value: str) -> str:
        if separator is not None:
            return several(tuple(value.split(separator)))
        name = label_name(value)
        return renamed.get(name, name)

    return lambda value: several(tuple(value)) if isinstance(value, list) else one(str(value))


def _trimmed(values: Sequence[object]) -> list[str]:
    if isinstance(values, pa.Array):
        values = values.cast(pa.string()).to_pylist()
    return ["" if value is None else str(value).strip() for value in values]


def _timestamps(values: Sequence[object]) -> tuple[pa.Array, list[int]]:
    """Return time stamps, and the positions of those that are none."""
    if isinstance(values, pa.Array):
        return values, []
    given = strings([value or None for value in _trimmed(values)])
    try:
        return _parse(given), []
    except pa.ArrowInvalid:
        bad = pc.is_in(
            given, strings([value for value in pc.unique(given).to_pylist() if not _is_time(value)])
        )
        return _parse(pc.if_else(bad, None, given)), pc.indices_nonzero(bad).to_pylist()


def _parse(given: pa.Array) -> pa.Array:
    """Parse ISO 8601, fractions of a second cut to six digits; a time without an offset is UTC."""
    utc = SOURCED.field("timestamp").type
    given = pc.replace_substring_regex(pc.ascii_upper(given), r"(:\d\d)[.,](\d{1,6})\d*", r"\1.\2")
    offset = pc.match_substring_regex(given, r":.*(Z|[+-]\d\d(:?\d\d)?)$")
    aware = pc.if_else(offset, given, None).cast(utc)
    naive = pc.if_else(offset, None, given).cast(pa.timestamp("us")).cast(utc)
    return pc.coalesce(aware, naive)


def _is_time(value: str | None) -> bool:
    try:
        _parse(strings([value]))
    except pa.ArrowInvalid:
        return False
    return True


def _untimely(values: Mapping[str, Sequence[object]], at: int, column: str) -> Broken:
    record = {name: column[at] for name, column in values.items() if not isinstance(column, pa.Array)}
    given = str(record[column]).strip()[:80]
    allowed = "ISO 8601, e.g. 2026-01-31 or 2026-01-31T12:00:00Z"
    fault = f"{given!r} is no time (ingest.timestamp_column {column!r}; allowed: {allowed})"
    return Broken(fault, json.dumps(record, ensure_ascii=False))
