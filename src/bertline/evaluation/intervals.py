"""Confidence intervals of accuracy and macro-F1 by the percentile bootstrap over rows.

Source: Efron & Tibshirani, An Introduction to the Bootstrap (1993), chapters 13 and 16. Rows in the same
cell (expected, predicted) are interchangeable, so resampling N rows with replacement is one multinomial
draw of N over the distinct cells: exact, and its cost does not grow with N.

The intervals speak of other test rows from the same source, not of another training seed or of drift.
Percentile intervals are a little narrow when a class has only a handful of rows.
"""

from dataclasses import dataclass
from typing import Literal, TypedDict, Unpack

import numpy as np
import numpy.typing as npt

Metric = Literal["accuracy", "macro_f1"]

Integers = npt.NDArray[np.integer]
Floats = npt.NDArray[np.float64]

_NUMBERS_AT_ONCE = 4_000_000  # resamples are drawn in chunks of at most this many numbers


@dataclass(frozen=True)
class Interval:
    """A metric on the rows as they are, and the two ends of its confidence interval."""

    value: float
    low: float
    high: float


class Settings(TypedDict):
    """How an interval is estimated: number of resamples, level (0.95 for 95 %), seed of the draws."""

    resamples: int
    confidence: float
    seed: int


def interval(
    expected: Integers,
    predicted: Integers,
    n_classes: int,
    metric: Metric,
    **settings: Unpack[Settings],
) -> Interval:
    """Return `metric` of class indices `predicted` [N] against `expected` [N], with its interval.

    Macro-F1 is the mean F1 of the classes that occur in `expected` (scikit-learn's `f1_score` with
    `labels=np.unique(expected)`); a resample that misses a rare class averages over the others.
    """
    return _bootstrap((expected, predicted), n_classes, metric, **settings)


def paired_difference(
    expected: Integers,
    predicted_a: Integers,
    predicted_b: Integers,
    n_classes: int,
    metric: Metric,
    **settings: Unpack[Settings],
) -> Interval:
    """Return `metric` of a minus `metric` of b on the same rows, all [N]; both see the same resamples."""
    return _bootstrap((expected, predicted_a, predicted_b), n_classes, metric, **settings)


def _bootstrap(
    rows: tuple[Integers, ...],
    n_classes: int,
    metric: Metric,
    **settings: Unpack[Settings],
) -> Interval:
    n_rows = len(rows[0])
    assert n_rows > 0, "no rows to resample"
    shape = (n_classes,) * len(rows)
    distinct, counts = np.unique(np.ravel_multi_index(rows, shape), return_counts=True)
    cells = np.unravel_index(distinct, shape)
    value = _statistic(counts[np.newaxis], cells, n_classes, metric)
    resamples, confidence = settings["resamples"], settings["confidence"]
    draw = np.random.default_rng(settings["seed"])
    chunk = max(1, _NUMBERS_AT_ONCE // (len(distinct) + 3 * n_classes))
    statistics = np.empty(resamples)
    for start in range(0, resamples, chunk):
        drawn = draw.multinomial(n_rows, counts / n_rows, size=min(chunk, resamples - start))
        statistics[start : start + chunk] = _statistic(drawn, cells, n_classes, metric)
    low, high = np.quantile(statistics, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(value[0]), float(low), float(high))


def _statistic(counts: Integers, cells: tuple[Integers, ...], n_classes: int, metric: Metric) -> Floats:
    """Return the metric [R] of R resamples: of the one prediction, or of the first minus the second.

    `counts` [R, K] says how often each resample holds each of the K distinct cells: `cells` is
    (expected [K], a [K]) or (expected [K], a [K], b [K]).
    """
    expected, *predictions = cells
    scores = [_score(counts, expected, predicted, n_classes, metric) for predicted in predictions]
    return scores[0] if len(scores) == 1 else scores[0] - scores[1]


def _score(
    counts: Integers, expected: Integers, predicted: Integers, n_classes: int, metric: Metric
) -> Floats:
    weights = counts.astype(np.float64)  # whole numbers: sums are exact, in whatever order BLAS takes them
    right = expected == predicted
    if metric == "accuracy":
        return np.asarray(weights[:, right].sum(axis=1) / weights.sum(axis=1))
    one_hot = np.eye(n_classes)
    hits = weights[:, right] @ one_hot[expected[right]]  # [R, C], as the next three
    actual = weights @ one_hot[expected]
    claimed = weights @ one_hot[predicted]
    f1 = 2 * hits / np.maximum(actual + claimed, 1)
    return np.asarray(f1.sum(axis=1) / (actual > 0).sum(axis=1))  # an absent class has no hits: its F1 is 0
