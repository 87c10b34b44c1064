"""Two models on the same rows: which answers changed, and where the second one is better or worse.

A pure function: predictions and texts in, a document for JSON out. Each difference is b minus a, with the
paired interval of `metrics.intervals` and McNemar's exact test. The q-values hold for all differences by
class, slice and behavioural test together: with no true difference, one comparison in twenty shows one.

An interval stands alone: with many of them, some exclude zero by chance, so go by the q-value. Neither covers
another training seed, or rows of another kind than these.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Unpack, get_args

import numpy as np
import numpy.typing as npt

from bertline.evaluation.behaviour import Behaviour, CaseAnswers, failed_cases
from bertline.evaluation.slices import Slice
from bertline.metrics.intervals import Metric, Settings, interval, paired_difference
from bertline.metrics.predictions import Predictions, check_same_rows
from bertline.metrics.rounding import rounded
from bertline.metrics.significance import mcnemar, q_values

SHOWN = 200
"""Rows of each kind of change that the document lists; the others are counted."""

Kind = Literal["class", "slice", "behaviour"]
Measure = Literal["recall", "false alarms", "accuracy", "failure rate"]
_LOWER_IS_BETTER: tuple[Measure, ...] = ("false alarms", "failure rate")


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairs:
    """N rows, or cases of a behavioural test, and whether what is measured happened, with either model."""

    kind: Kind
    group: str
    name: str
    measure: Measure  # the share of rows to which it happened
    a: npt.NDArray[np.bool_]  # [N]
    b: npt.NDArray[np.bool_]  # [N]


def compare_models(
    a: Predictions,
    b: Predictions,
    *,
    texts: Sequence[str],
    slices: Sequence[Slice],
    behaviour: Sequence[Pairs],
    **settings: Unpack[Settings],
) -> dict[str, Any]:
    """Return the scores of both models, the rows whose answer became wrong or right, and the differences.

    Args:
        a: the model that is there, on N rows.
        b: the model that may follow it, on the same rows.
        texts: of each row [N]; the two texts of a pair in one.
        slices: of these rows; those by class are left out, since each class is compared by itself.
        behaviour: which cases of each behavioural test failed.
        **settings: of the intervals; 1 - confidence is the level of the tests, too.

    Raises:
        ValueError: the two are not predictions of the same rows.
    """
    check_same_rows(a, b)
    classes = sorted({*a.classes, *b.classes})
    a, b = a.over(classes), b.over(classes)
    parts = [*_class_pairs(a, b), *_slice_pairs(a, b, slices), *behaviour]
    broken, fixed = np.flatnonzero(a.right & ~b.right), np.flatnonzero(b.right & ~a.right)
    document: dict[str, Any] = {
        "rows": len(a.ids),
        "confidence": settings["confidence"],
        "overall": {metric: _overall(a, b, metric, **settings) for metric in get_args(Metric)},
        "p_value": mcnemar(a.right, b.right),
        "broken": _rows(a, b, texts, broken, sure=b),
        "fixed": _rows(a, b, texts, fixed, sure=a),
        "differences": differences(parts, **settings),
    }
    found: dict[str, Any] = rounded(document)
    return found


def differences(parts: Sequence[Pairs], **settings: Unpack[Settings]) -> list[dict[str, Any]]:
    """Return the difference b minus a of each part that has rows: interval, p-value, q-value, verdict."""
    parts = [each for each in parts if len(each.a)]
    p_values = [mcnemar(each.a, each.b) for each in parts]
    level = 1 - settings["confidence"]
    return [
        rounded(_difference(each, p_value, q_value, level, **settings))
        for each, p_value, q_value in zip(parts, p_values, q_values(p_values), strict=True)
    ]


def _difference(
    part: Pairs, p_value: float, q_value: float, level: float, **settings: Unpack[Settings]
) -> dict[str, Any]:
    always = np.ones(len(part.a), np.int64)
    found = paired_difference(
        always, part.b.astype(np.int64), part.a.astype(np.int64), 2, "accuracy", **settings
    )
    better = (found.value > 0) != (part.measure in _LOWER_IS_BETTER)
    return {
        "kind": part.kind,
        "group": part.group,
        "name": part.name,
        "measure": part.measure,
        "rows": len(part.a),
        "a": float(part.a.mean()),
        "b": float(part.b.mean()),
        "only_a": int((part.a & ~part.b).sum()),
        "only_b": int((part.b & ~part.a).sum()),
        **found.named("difference"),
        "p_value": p_value,
        "q_value": q_value,
        "verdict": "not shown" if q_value > level else "better" if better else "worse",
    }


def _overall(
    a: Predictions, b: Predictions, metric: Metric, **settings: Unpack[Settings]
) -> dict[str, float]:
    width = len(a.classes)
    change = paired_difference(a.expected, b.predicted, a.predicted, width, metric, **settings)
    scores = {
        name: interval(model.expected, model.predicted, width, metric, **settings)
        for name, model in (("a", a), ("b", b))
    }
    return {
        key: value
        for name, found in {**scores, "difference": change}.items()
        for key, value in found.named(name).items()
    }


def _class_pairs(a: Predictions, b: Predictions) -> Iterator[Pairs]:
    """Yield for each class the rows that have it and are found, and the others that are answered with it."""
    for column, name in enumerate(a.classes):
        has, says_a, says_b = (_has(each, column) for each in (a.expected, a.predicted, b.predicted))
        measures: tuple[tuple[Measure, npt.NDArray[np.bool_]], ...] = (
            ("recall", has),
            ("false alarms", ~has),
        )
        for measure, rows in measures:
            yield Pairs(
                kind="class", group="class", name=name, measure=measure, a=says_a[rows], b=says_b[rows]
            )


def _has(targets: npt.NDArray[np.integer], column: int) -> npt.NDArray[np.bool_]:
    return np.asarray(targets[:, column] == 1 if targets.ndim == 2 else targets == column)


def _slice_pairs(a: Predictions, b: Predictions, slices: Sequence[Slice]) -> Iterator[Pairs]:
    right_a, right_b = a.right, b.right
    for each in slices:
        if each.group != "class":
            yield Pairs(
                kind="slice",
                group=each.group,
                name=each.name,
                measure="accuracy",
                a=right_a[each.rows],
                b=right_b[each.rows],
            )


def behaviour_pairs(behaviour: Behaviour, a: CaseAnswers, b: CaseAnswers) -> list[Pairs]:
    """Return for each behavioural test which of its cases failed, with either model."""
    tests = np.array(behaviour.cases["test"].to_pylist(), object)
    failed_a, failed_b = (failed_cases(behaviour, each) for each in (a, b))
    return [
        Pairs(
            kind="behaviour",
            group="behaviour",
            name=test.name,
            measure="failure rate",
            a=failed_a[tests == test.name],
            b=failed_b[tests == test.name],
        )
        for test in behaviour.tests
    ]


def _rows(
    a: Predictions, b: Predictions, texts: Sequence[str], which: npt.NDArray[np.integer], *, sure: Predictions
) -> dict[str, Any]:
    """Return the number of rows `which` [K], and `SHOWN` of them: those where `sure` was surest."""
    order = np.argsort(-sureness(sure)[which], kind="stable")
    shown = which[order][:SHOWN]
    labels, answers_a, answers_b = (
        a.space.decode(targets[shown]) for targets in (a.expected, a.predicted, b.predicted)
    )
    chances_a, chances_b = sureness(a)[shown], sureness(b)[shown]
    rows = [
        {
            "id": a.ids[row],
            "text": texts[row],
            "label": a.space.split(labels[i]),
            "a": a.space.split(answers_a[i]),
            "a_probability": float(chances_a[i]),
            "b": a.space.split(answers_b[i]),
            "b_probability": float(chances_b[i]),
        }
        for i, row in enumerate(shown)
    ]
    return {"rows": len(which), "shown": [rounded(each) for each in rows]}


def sureness(model: Predictions) -> npt.NDArray[np.floating]:
    """Return how probable each answer is [N]; with several labels a row, its least sure decision."""
    if model.multi_label:
        return np.asarray(np.maximum(model.probabilities, 1 - model.probabilities).min(axis=1))
    return np.asarray(model.probabilities.max(axis=1))
