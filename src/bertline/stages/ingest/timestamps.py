"""From texts to time stamps: ISO 8601, and seconds, milliseconds, microseconds or nanoseconds since 1970."""

from collections.abc import Sequence
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from bertline.rows.schema import SOURCE_SCHEMA
from bertline.stages.ingest.values import MISSING, strings

STAMP = SOURCE_SCHEMA.field("timestamp").type
ALLOWED = "ISO 8601 such as 2026-01-31 or 2026-01-31T12:00:00Z, or seconds or milliseconds since 1970"
# The unit of a number is the one in which it lies between these two moments, in seconds since 1970: 1980 and
# 2286. No two units overlap. A smaller number may be a year, a day as 20260131, or a day of a spreadsheet.
_FIRST, _LAST = 315_532_800, 10**10


def parse_times(texts: Sequence[str | None]) -> tuple[pa.Array, list[int]]:
    """Return time stamps [rows] in UTC, null for a missing text, and the positions of texts that are no time.

    A time without an offset is UTC. Fractions of a second are cut to six digits. The unit of a number is the
    one in which it lies between 1980 and 2286.
    """
    trimmed = ["" if text is None else text.strip() for text in texts]
    given = strings([None if text in MISSING else text for text in trimmed])
    try:
        return _parse(given), []
    except pa.ArrowInvalid:
        wrong = [text for text in pc.unique(given).to_pylist() if not _is_time(text)]
        bad = pc.is_in(given, pa.array(wrong, pa.string()))
        return _parse(pc.if_else(bad, None, given)), pc.indices_nonzero(bad).to_pylist()


def _parse(given: pa.Array) -> pa.Array:
    """Parse texts; raise ArrowInvalid if one of them is no time."""
    text = pc.ascii_upper(given)
    number = pc.match_substring_regex(text, r"^\d+(\.\d+)?(E\+?\d+)?$")
    if pc.any(number).as_py():
        moments = _parse_numbers(pc.if_else(number, text, None))
        return pc.coalesce(moments, _parse_iso(pc.if_else(number, None, text)))
    return _parse_iso(text)


def _parse_iso(text: pa.Array) -> pa.Array:
    text = pc.replace_substring_regex(text, r"^(\d{4}-\d\d-\d\d) ?(?:UTC|GMT|Z)$", r"\1")
    text = pc.replace_substring_regex(text, r"(:\d\d)[.,](\d{1,6})\d*", r"\1.\2")
    text = pc.replace_substring_regex(text, r"(:[\d.]+) ?(?:UTC|GMT)$", r"\1Z")
    text = pc.replace_substring_regex(text, r"(:[\d.]+) ?([+-]\d\d(?::?\d\d)?)(?: UTC)?$", r"\1\2")
    offset = pc.match_substring_regex(text, r":.*(Z|[+-]\d\d(:?\d\d)?)$")
    aware = pc.if_else(offset, text, None).cast(STAMP)
    naive = pc.if_else(offset, None, text).cast(pa.timestamp("us")).cast(STAMP)
    return pc.coalesce(aware, naive)


def _parse_numbers(text: pa.Array) -> pa.Array:
    if pc.any(pc.match_substring(text, "E")).as_py():  # 1.7672256e+18, as floats are written
        text = pa.array([None if each is None else format(Decimal(each), "f") for each in text.to_pylist()])
    parts = pc.extract_regex(text, r"^(?P<whole>\d{1,18}|[1-8]\d{18})(?:\.(?P<fraction>\d+))?$")
    if parts.null_count != text.null_count:
        raise pa.ArrowInvalid("a number with too many digits")
    whole = pc.struct_field(parts, "whole").cast(pa.int64())
    fraction = pc.utf8_slice_codeunits(pc.utf8_rpad(pc.struct_field(parts, "fraction"), 6, "0"), 0, 6)
    micros = pc.coalesce(pc.if_else(pc.equal(fraction, ""), "0", fraction).cast(pa.int64()), 0)
    stamps = pa.nulls(len(text), pa.int64())
    for per_second in (1, 10**3, 10**6):
        whole_here = _between(whole, _FIRST * per_second, _LAST * per_second)
        scaled = pc.multiply(whole_here, 10**6 // per_second)
        stamps = pc.coalesce(stamps, pc.add(scaled, pc.divide(micros, per_second)))
    nanoseconds = _between(whole, _FIRST * 10**9, 2**63 - 1)  # such a number must fit 64 bits
    stamps = pc.coalesce(stamps, pc.divide(nanoseconds, 1000))
    if stamps.null_count != text.null_count:
        raise pa.ArrowInvalid("a number that is no time")
    return stamps.cast(pa.timestamp("us")).cast(STAMP)


def _between(numbers: pa.Array, first: int, last: int) -> pa.Array:
    """Return the numbers from `first` to below `last`, null for others."""
    return pc.if_else(pc.and_(pc.greater_equal(numbers, first), pc.less(numbers, last)), numbers, None)


def _is_time(text: str | None) -> bool:
    try:
        _parse(pa.array([text], pa.string()))
    except pa.ArrowInvalid:
        return False
    return True
