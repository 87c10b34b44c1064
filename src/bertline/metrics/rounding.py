"""Round the numbers of a report: more digits would only record the noise of floating point."""

from typing import Any

DIGITS = 6


def rounded(value: Any) -> Any:
    """Return `value` with each float in it, also in nested dicts and lists, rounded to `DIGITS` decimals."""
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return round(value, DIGITS) if isinstance(value, float) else value


def two_digits(value: float) -> float:
    """Return a probability with two significant digits: with six decimals a small one would be 0."""
    return float(f"{value:.2g}")
