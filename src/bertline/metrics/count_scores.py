"""Scores that are made of counts: what a bootstrap can draw, with a closed form for each.

Each function takes `Totals`, whose counts may have leading axes, such as one for bootstrap resamples, and
returns the score with these axes. A share with nothing in its denominator is 0, as in scikit-learn. Macro
averages are over the classes that some row has: scikit-learn's, with `labels=np.unique(expected)`.

Legend: N rows, C classes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from bertline.metrics.classification import (
    ClassCounts,
    Floats,
    Targets,
    correct_rows,
    count_by_class,
    f1_by_class,
    macro_f1_of,
)

Average = Literal["macro", "weighted", "micro"]


@dataclass(frozen=True, eq=False)
class Totals:
    """The counts by class [..., C], the number of rows [...], and how many of these are right [...]."""

    counts: ClassCounts
    rows: npt.NDArray[Any]
    right: npt.NDArray[Any]


Score = Callable[[Totals], Floats]


def totals(targets: Targets, predicted: Targets, n_classes: int) -> Totals:
    """Return the totals of rows, class indices [N] or several labels a row [N, C]."""
    right = correct_rows(targets, predicted).sum()
    return Totals(count_by_class(targets, predicted, n_classes), np.asarray(len(targets)), np.asarray(right))


def precision_by_class(counts: ClassCounts) -> Floats:
    """Return the precision [..., C] of each class."""
    return np.asarray(counts.hits / np.maximum(counts.predicted, 1))


def recall_by_class(counts: ClassCounts) -> Floats:
    """Return the recall [..., C] of each class."""
    return np.asarray(counts.hits / np.maximum(counts.actual, 1))


def jaccard_by_class(counts: ClassCounts) -> Floats:
    """Return the Jaccard index [..., C] of each class: rows with it in both, by rows with it in either."""
    return np.asarray(counts.hits / np.maximum(counts.actual + counts.predicted - counts.hits, 1))


def scores_by_class(targets: Targets, predicted: Targets, n_classes: int) -> dict[str, list[float]]:
    """Return precision, recall, F1 and number of rows (support) of each class; 0 where undefined."""
    counts = count_by_class(targets, predicted, n_classes)
    columns = {"precision": precision_by_class, "recall": recall_by_class, "f1": f1_by_class}
    return {name: score(counts).tolist() for name, score in columns.items()} | {
        "support": counts.actual.tolist()
    }


def averaged(of: Totals, *, by_class: Callable[[ClassCounts], Floats], average: Average) -> Floats:
    """Return the average [...] of a score by class.

    `macro` is the mean over the classes that some row has, `weighted` weighs them by their rows, `micro`
    counts all classes as one.
    """
    counts = of.counts
    if average == "micro":
        parts = (counts.hits, counts.actual, counts.predicted)
        return by_class(ClassCounts(*(part.sum(axis=-1, keepdims=True) for part in parts)))[..., 0]
    weights = counts.actual if average == "weighted" else counts.actual > 0
    score = (by_class(counts) * weights).sum(axis=-1)
    return np.asarray(score / np.maximum(weights.sum(axis=-1), 1))


def accuracy_of(of: Totals) -> Floats:
    """Return the share of rows [...] whose class is correct, or whose classes all are (subset accuracy)."""
    return np.asarray(of.right / of.rows)


def matthews_correlation(of: Totals) -> Floats:
    """Return the correlation of class and prediction [...]: 1 is perfect, 0 no better than class shares.

    Source: Gorodkin, Comparing two K-category assignments by a K-category correlation coefficient,
    Computational Biology and Chemistry 28 (2004).
    """
    rows, actual, predicted = _single(of)
    variances = (rows**2 - (actual * actual).sum(axis=-1)) * (rows**2 - (predicted * predicted).sum(axis=-1))
    covariance = of.right * rows - (actual * predicted).sum(axis=-1)
    return np.where(variances > 0, covariance / np.sqrt(np.where(variances > 0, variances, 1.0)), 0.0)


def cohen_kappa(of: Totals) -> Floats:
    """Return the agreement beyond chance [...]: 1 is perfect, 0 what independent answers would reach.

    Source: Cohen, A coefficient of agreement for nominal scales, Educational and Psychological Measurement
    20 (1960).
    """
    rows, actual, predicted = _single(of)
    chance = (actual * predicted).sum(axis=-1) / rows**2
    return np.where(chance < 1, (of.right / rows - chance) / np.where(chance < 1, 1 - chance, 1.0), 0.0)


def hamming_loss(of: Totals) -> Floats:
    """Return the share of wrong decisions [...], label or not."""
    counts = of.counts
    wrong = (counts.actual + counts.predicted - 2 * counts.hits).sum(axis=-1)
    return np.asarray(wrong / (of.rows * counts.hits.shape[-1]))


def _single(of: Totals) -> tuple[Floats, Floats, Floats]:
    rows = np.asarray(of.rows, dtype=np.float64)
    return rows, of.counts.actual.astype(np.float64), of.counts.predicted.astype(np.float64)


_AVERAGES: dict[str, Score] = {
    f"{average}_{name}": partial(averaged, by_class=by_class, average=average)
    for average in ("macro", "weighted", "micro")
    for name, by_class in {
        "precision": precision_by_class,
        "recall": recall_by_class,
        "f1": f1_by_class,
    }.items()
}
_AVERAGES["macro_f1"] = lambda of: macro_f1_of(of.counts)  # the one that fine-tuning selects by
_BALANCED: Score = partial(averaged, by_class=recall_by_class, average="macro")
SINGLE: dict[str, Score] = {
    "accuracy": accuracy_of,
    "balanced_accuracy": _BALANCED,
    **_AVERAGES,
    "mcc": matthews_correlation,
    "kappa": cohen_kappa,
}
"""The scores of one class a row. Micro averages and weighted recall are the accuracy then."""
SIGNED = ("mcc", "kappa")
"""The scores that may be as low as -1; the others lie in 0 to 1."""
SEVERAL: dict[str, Score] = {
    "accuracy": accuracy_of,
    **_AVERAGES,
    "hamming_loss": hamming_loss,
    "macro_jaccard": partial(averaged, by_class=jaccard_by_class, average="macro"),
    "micro_jaccard": partial(averaged, by_class=jaccard_by_class, average="micro"),
}
"""The scores of several labels a row."""
