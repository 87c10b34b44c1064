"""The one way a params object says that a value is impossible."""

STRICT = {"extra": "forbid", "strict": True}
"""How pydantic reads a params dataclass: no unknown keys, no coercion."""


def require(field: str, value: object, ok: bool, allowed: str) -> None:
    """Raise a ValueError that names `field`, its `value` and what is `allowed`, unless `ok`."""
    if not ok:
        raise ValueError(f"{field} is {value!r}; allowed: {allowed}")
