"""Numbers of the reports as the model card writes them; nothing is computed but units."""

from collections.abc import Mapping
from typing import Any


def share(value: float | None) -> str:
    """Return a share as per cent."""
    return "" if value is None else f"{100 * value:.1f}%"


def score(value: float | None) -> str:
    """Return a score that is no share, such as F1."""
    return "" if value is None else f"{value:.3f}"


def count(value: float | None) -> str:
    """Return a whole number with commas."""
    return "" if value is None else f"{value:,.0f}"


def megabytes(value: float) -> str:
    """Return bytes as MB."""
    return f"{value / 1e6:,.1f} MB"


def with_interval(numbers: Mapping[str, Any], name: str, *, as_share: bool) -> str:
    """Return `name` of a report with the interval that `name_low` and `name_high` give, if there is one."""
    write = share if as_share else score
    value, low, high = (numbers.get(f"{name}{end}") for end in ("", "_low", "_high"))
    if low is None or high is None:
        return write(value)
    return f"{write(value)} ({write(low).removesuffix('%')} to {write(high)})"
