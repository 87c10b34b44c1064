"""The two sentences that a comparison ends in, and its numbers as a few lines of text."""

from collections.abc import Mapping, Sequence
from typing import Any

_NAMED = 3  # differences of each verdict that the sentence names
_METRICS = {"accuracy": "accuracy", "macro_f1": "macro-F1"}


def conclude(document: Mapping[str, Any], a: str, b: str) -> list[str]:
    """Return two sentences on what `compare_models` found; `a` and, as its subject, `b` are the models."""
    change, rows = document["overall"]["accuracy"], document["rows"]
    broken, fixed = document["broken"]["rows"], document["fixed"]["rows"]
    chance = "more than chance" if document["p_value"] <= _level(document) else "what chance alone may do"
    first = (
        f"{b} breaks {broken:,} of {rows:,} test rows that {a} answers right, and repairs "
        f"{fixed:,}: accuracy {points(change['difference'])} points "
        f"({points(change['difference_low'])} to {points(change['difference_high'])}), {chance}."
    )
    return [first, _second(document["differences"])]


def _second(differences: Sequence[Mapping[str, Any]]) -> str:
    worse, better = (
        sorted((each for each in differences if each["verdict"] == verdict), key=lambda each: each["p_value"])
        for verdict in ("worse", "better")
    )
    if not worse and not better:
        return (
            f"None of the {len(differences):,} differences by class, slice and behavioural test is more than "
            "chance may do."
        )
    parts = [
        f"{verdict} in {_names(found)}" for verdict, found in (("worse", worse), ("better", better)) if found
    ]
    rest = len(differences) - len(worse) - len(better)
    return f"It is {', and '.join(parts)}; the other {rest:,} differences may be chance."


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


def lines_of(document: Mapping[str, Any]) -> list[str]:
    """Return the conclusion, its reservations, the scores and the differences that are shown, as lines."""
    lines = [*document["conclusion"], *(f"careful: {each}" for each in document["cautions"]), ""]
    names = (document["a"]["name"], document["b"]["name"])
    lines.append(f"{'':12}{names[0]:>12}{names[1]:>12}  difference")
    for metric, title in _METRICS.items():
        found = document["overall"][metric]
        ends = f"{points(found['difference_low'])} to {points(found['difference_high'])}"
        shares = "".join(f"{100 * found[each]:>12.1f}" for each in ("a", "b"))
        lines.append(f"{title:12}{shares}  {points(found['difference'])} ({ends})")
    shown = [each for each in document["differences"] if each["verdict"] != "not shown"]
    for each in sorted(shown, key=lambda each: (each["verdict"] == "better", each["q_value"]))[:10]:
        shares = "".join(f"{100 * each[model]:>12.1f}" for model in ("a", "b"))
        change = f"{points(each['difference'])}  {each['verdict']}, q = {each['q_value']:.2g}"
        lines.append(f"{'':12}{shares}  {change}: {name_of(each)}")
    return lines


def _level(document: Mapping[str, Any]) -> float:
    level: float = 1 - document["confidence"]
    return level
