"""From a value of a file to its text: one frame has one answer as CSV, as JSON lines and as Parquet.

A CSV file holds texts only; JSON and Parquet hold numbers and booleans too. Guarantees that such a value
becomes the text that Python, pandas and `csv` write of it, so that what is done with the text afterwards (see
`rows.labels.class_name`) is the same for every kind of file. A missing value is the empty text, because a
CSV file cannot tell the two apart.
"""

import math
import re
from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache

import pyarrow as pa

from bertline.rows.labels import class_name

MISSING = frozenset({"", "nan", "NaN", "NaT", "<NA>", "None", "null", "NULL", "N/A", "n/a", "#N/A", r"\N"})
"""The texts that tools write for a missing value."""

_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d)?)(?:\.(\d+))?\s*(Z|UTC|[+-]\d\d(?::?\d\d)?)?", re.ASCII
)


def as_text(value: object) -> str | None:
    """Return a string, number or boolean as text; None for a missing value, which NaN is too.

    Raises:
        TypeError: the value is of another type, such as a list.
    """
    if value is None or type(value) is str:  # nearly all values
        return value
    match value:
        case str():
            return str(value)
        case float() if math.isnan(value):
            return None
        case Decimal() if value.is_nan():
            return None
        case bool() | int() | float() | Decimal():
            return str(value)
        case _:
            raise TypeError(type(value).__name__)


def strings(values: Sequence[object]) -> pa.Array | pa.ChunkedArray:
    """Return strings and nulls as an Arrow array; strings that UTF-8 cannot hold are mended."""
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:
        return pa.array([clean(value) if isinstance(value, str) else None for value in values], pa.string())


def clean(text: str) -> str:
    """Return `text` with lone surrogates replaced by U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@lru_cache(maxsize=1000, typed=True)
def batch_name(value: object) -> str:
    """Return the name of a delivery, trimmed; "" for a missing one.

    A number is written as `class_name` writes it (47.0 is 47), a moment at midnight is its day, and other
    moments have no zeros at their end.
    """
    name = class_name(as_text(value) or "")
    if name in MISSING:
        return ""
    if not (moment := _TIME.fullmatch(name)):
        return name
    day, time, fraction, offset = moment.groups()
    fraction = (fraction or "").rstrip("0")
    utc = (offset or "Z") in ("Z", "UTC", "+00", "+0000", "+00:00")
    if utc and not fraction and time.removesuffix(":00") == "00:00":
        return day
    return f"{day} {time}{f'.{fraction}' if fraction else ''}{'' if utc else offset}"
