"""Rows that a person names by the first digits of an id."""

import re
from collections.abc import Iterable

SHORTEST_PREFIX = 6  # digits of an id


def require_prefix(prefix: str) -> str:
    """Return `prefix` in lower case; ValueError if it is too short to name a row."""
    if len(prefix) < SHORTEST_PREFIX:
        raise ValueError(f"{prefix!r} is too short; give at least {SHORTEST_PREFIX} digits of the row's id")
    return prefix.lower()


def require_one(prefix: str, ids: Iterable[str], what: str, see: str) -> str:
    """Return the one of `ids` that starts with `prefix`.

    Args:
        prefix: as `require_prefix` returns it.
        ids: of the rows that it may stand for; equal ones count once.
        what: a noun for such a row, e.g. "quarantined row".
        see: the command that lists these rows.

    Raises:
        ValueError: none of them does, or several do.
    """
    found = sorted({each for each in ids if each.startswith(prefix)})
    if not found:
        raise ValueError(f"no {what} has an id that starts with {prefix}; see: {see}")
    if len(found) > 1:
        several = ", ".join(found[:3])
        raise ValueError(f"{prefix} stands for {len(found)} rows ({several}, ...); give more digits")
    return found[0]


def require_id(value: str, name: str) -> None:
    """Raise a ValueError unless `value`, of the field `name`, is a whole id: 32 hex digits."""
    if not re.fullmatch("[0-9a-f]{32}", value):
        raise ValueError(f"{name} is {value!r}; expected the 32 hex digits of a row's {name}")
