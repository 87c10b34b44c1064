"""Write numbers into a page as `<data value="0.943">94.3%</data>`: what is read, and what was rounded.

So a test, or a program, can trace every number of a page to the JSON that it comes from. A missing number is
"none".
"""

from collections.abc import Callable

from markupsafe import Markup


def percent(value: float | None, digits: int = 1) -> Markup:
    """Return a share from 0 to 1 as a percentage with `digits` decimals."""
    return _marked(value, lambda number: f"{100 * number:.{digits}f}%")


def points(value: float | None) -> Markup:
    """Return a difference of two shares as signed percentage points."""
    return _marked(value, lambda number: f"{100 * number:+.1f}")


def decimal(value: float | None, digits: int = 3) -> Markup:
    """Return a number with `digits` decimals, with commas between thousands."""
    return _marked(value, lambda number: f"{number:,.{digits}f}")


def number(value: float | None) -> Markup:
    """Return a count with commas between thousands."""
    return decimal(value, 0)


def _marked(value: float | None, text: Callable[[float], str]) -> Markup:
    if value is None:
        return Markup('<span class="quiet">none</span>')
    return Markup('<data value="{}">{}</data>').format(value, text(value))


FILTERS = {"percent": percent, "points": points, "decimal": decimal, "number": number}
