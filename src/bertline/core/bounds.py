"""Shared checks of the params objects: the message for an impossible value, and reading a date."""

from datetime import UTC, datetime

STRICT = {"extra": "forbid", "strict": True}
"""How pydantic reads a params dataclass: no unknown keys, no coercion."""


def require(field: str, value: object, ok: bool, allowed: str) -> None:
    """Raise a ValueError that names `field`, its `value` and what is `allowed`, unless `ok`."""
    if not ok:
        raise ValueError(f"{field} is {value!r}; allowed: {allowed}")


def parse_date(date: str) -> datetime:
    """Return the moment an ISO 8601 date or time stands for; without an offset it is UTC."""
    moment = datetime.fromisoformat(date)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def is_date(date: str | None) -> bool:
    """Return whether `date` is null or one that `parse_date` reads."""
    try:
        return date is None or bool(parse_date(date))
    except ValueError:
        return False
