"""The two sentences that a comparison ends in, and its numbers as a few lines of text."""

from collections.abc import Mapping, Sequence
from typing import Any

_NAMED = 3  # differences of each verdict that the sentence names
_METRICS = {"accuracy": "accuracy", "macro_f1": "macro-F1"}


def conclude(document: Mapping[str, Any], a: str, b: str) -> list[str]:
    """Return two sentences on what `compare_models` found; `a` and, as its subject, `b` are the models."""
    change, rows = document["overall"]["accuracy"], document["rows"]
    broken, fixed = document["broken"]["rows"], document["fixed"]["rows"]
    chance = "is more than chance" if document["p_value"] <= 1 - document["confidence"] else "may be chance"
    first = (
        f"{b} breaks {_counted(broken, 'row')} that {a} answers right and repairs "
        f"{_counted(fixed, 'other')}: its accuracy on the {_counted(rows, 'test row')} changes by "
        f"{with_ends(change)} points, which {chance}."
    )
    return [first, _second(document["differences"])]


def _second(differences: Sequence[Mapping[str, Any]]) -> str:
    worse, better = (
        sorted((each for each in differences if each["verdict"] == verdict), key=lambda each: each["p_value"])
        for verdict in ("worse", "better")
    )
    if not worse and not better:
        return (
            f"None of the {_counted(len(differences), 'difference')} by class, slice and behavioural test "
            "can be told from chance."
        )
    parts = [
        f"{verdict} in {_names(found)}" for verdict, found in (("worse", worse), ("better", better)) if found
    ]
    rest = len(differences) - len(worse) - len(better)
    others = f"; the other {_counted(rest, 'difference')} may be chance" if rest else ""
    return f"It is {', and '.join(parts)}{others}."


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _names(differences: Sequence[Mapping[str, Any]]) -> str:
    names = [name_of(each) for each in differences[:_NAMED]]
    return ", ".join(names) + (f" and {len(differences) - _NAMED} more" if len(differences) > _NAMED else "")


def name_of(difference: Mapping[str, Any]) -> str:
    """Return what a difference is about, in words."""
    if difference["kind"] == "class":
        return f"the {difference['measure']} of {difference['name']}"
    if difference["kind"] == "behaviour":
        return f"the behavioural test {difference['name']}"
    return f"{difference['group']}: {difference['name']}"


def points(share: float) -> str:
    """Return a difference of shares in points, with its sign."""
    return f"{100 * share:+.1f}"


def with_ends(change: Mapping[str, Any]) -> str:
    """Return a difference and its interval, in points."""
    value, low, high = (points(change[f"difference{end}"]) for end in ("", "_low", "_high"))
    return f"{value} ({low} to {high})"


def clearest(
    differences: Sequence[Mapping[str, Any]], limit: int = 10
) -> tuple[list[Mapping[str, Any]], str | None]:
    """Return at most `limit` differences that are more than chance: the worse ones first, then the better.

    With them comes a sentence on how many more there are, if any.
    """
    shown = [each for each in differences if each["verdict"] != "not shown"]
    shown.sort(key=lambda each: (each["verdict"] == "better", each["p_value"]))
    more = len(shown) - limit
    return shown[:limit], f"{_counted(more, 'more difference')} on the page" if more > 0 else None


def lines_of(document: Mapping[str, Any]) -> list[str]:
    """Return the conclusion, its reservations, the scores and the differences that are shown, as lines."""
    lines = [*document["conclusion"], *(f"careful: {each}" for each in document["cautions"]), ""]
    names = [document[side]["name"] for side in ("a", "b")]
    widths = [max(12, len(name) + 2) for name in names]  # a folder's name may be long
    titles = "".join(f"{name:>{width}}" for name, width in zip(names, widths, strict=True))
    lines.append(f"{'':10}{titles}  difference in points")
    for metric, title in _METRICS.items():
        found = document["overall"][metric]
        lines.append(f"{title:10}{_shares(found, widths)}  {with_ends(found)}")
    found, more = clearest(document["differences"])
    for each in found:
        lines.append(f"{each['verdict']:10}{_shares(each, widths)}  {with_ends(each)}: {name_of(each)}")
    return lines + [f"... and {more}"] * bool(more)


def _shares(found: Mapping[str, Any], widths: Sequence[int]) -> str:
    return "".join(f"{100 * found[model]:>{width}.1f}" for model, width in zip("ab", widths, strict=True))
