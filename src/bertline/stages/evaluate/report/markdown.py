"""The evaluation as Markdown, short enough for a comment on a pull request.

It shows what stands in the JSON documents of reports/evaluation. Guarantees that a text of the data is never
read as markup, and at most `ROWS` rows of each table, so that it fits the 65,536 characters of a comment.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bertline.reporting.environment import cut
from bertline.reporting.markdown import inline, table

ROWS = 8
CHARACTERS = 100


def render_markdown(documents: Mapping[str, Any]) -> str:
    """Return the Markdown of `documents`, the JSON files of reports/evaluation by name without ending."""
    parts = [
        _conclusions(documents["conclusions"]),
        _headline(documents["metrics"]),
        _weak_classes(documents["classes"]),
        _weak_slices(documents.get("weak_slices")),
        _confused(documents.get("confused")),
        _behaviour(documents.get("behaviour")),
        _pinned(documents.get("pinned")),
    ]
    return "\n\n".join(["## Evaluation on held-out rows", *(part for part in parts if part)]) + "\n"


def _conclusions(conclusions: Mapping[str, Any]) -> str:
    names = {"good": "Good", "weak": "Weak", "do": "Do"}
    return "\n".join(f"- **{title}**: {inline(conclusions[name])}" for name, title in names.items())


def _headline(metrics: Mapping[str, Any]) -> str:
    names = {"accuracy": "Accuracy", "macro_f1": "Macro-F1"}
    rows = [
        (
            title,
            _valued(metrics["candidate"], name),
            _valued(metrics["baseline"], name),
            f"{_points(metrics['difference'], name)}",
        )
        for name, title in names.items()
    ]
    return table(("Score", "Candidate", "TF-IDF baseline", "Difference in points"), rows)


def _weak_classes(classes: Mapping[str, Mapping[str, float]]) -> str:
    weakest = sorted((row["f1"], label) for label, row in classes.items() if row["support"])
    rows = [(_text(label), _percent(f1), f"{classes[label]['support']:,.0f}") for f1, label in weakest]
    return _titled("Classes, the weakest first", ("Class", "F1", "Rows"), rows)


def _weak_slices(document: Mapping[str, Any] | None) -> str:
    rows = [
        (_text(row["rule"]), f"{row['rows']:,}", _valued(row, "accuracy"), _percent(row["rest_accuracy"]))
        for row in (document or {}).get("slices", [])
    ]
    return _titled("Weak slices", ("Slice", "Rows", "Accuracy", "Other rows"), rows)


def _confused(document: Mapping[str, Any] | None) -> str:
    rows = [
        (
            _text(pair["actual"]),
            _text(pair["predicted"]),
            f"{pair['rows']:,}",
            _percent(pair["share_of_actual"]),
        )
        for pair in (document or {}).get("pairs", [])
    ]
    return _titled("Confused pairs", ("Actual", "Predicted", "Rows", "Share of actual"), rows)


def _behaviour(document: Mapping[str, Any] | None) -> str:
    tests = [test for test in (document or {}).get("tests", []) if not test["skipped"]]
    tests.sort(key=lambda test: (-test["failure_rate"], test["name"]))
    rows = [
        (_text(test["name"]), f"{test['failures']:,} of {test['cases']:,}", _valued(test, "failure_rate"))
        for test in tests
    ]
    return _titled("Behavioural tests, the worst first", ("Test", "Failures", "Failure rate"), rows)


def _pinned(document: Mapping[str, Any] | None) -> str:
    if not document or not document["pinned"]:
        return ""
    return f"Regression rows: {document['right']:,} of {document['scored']:,} are answered right."


def _titled(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    found = list(rows)
    if not found:
        return ""
    more = "\n\n`report.html` has the others." if len(found) > ROWS else ""
    return f"### {title}\n\n{table(columns, found[:ROWS])}{more}"


def _text(text: str) -> str:
    return inline(cut(text, CHARACTERS))


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def _valued(row: Mapping[str, float], name: str) -> str:
    return f"{_percent(row[name])} ({_percent(row[name + '_low'])} to {_percent(row[name + '_high'])})"


def _points(row: Mapping[str, float], name: str) -> str:
    value, low, high = (f"{100 * row[name + end]:+.1f}" for end in ("", "_low", "_high"))
    return f"{value} ({low} to {high})"
