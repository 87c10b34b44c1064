"""Predicted classes, their accuracy and macro-F1, as plain NumPy: the only implementation in the project.

Intervals, the evaluation and the validation during fine-tuning all call it; `count_scores.py` has the other
scores. It imports nothing of bertline, so that fine-tuning depends on this one file.

Legend: N rows, C classes. Targets are the class index of each row [N], or with several labels a row a matrix
[N, C] with 1 where a row has a class. Counts may have leading axes, such as one for bootstrap resamples.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Targets = npt.NDArray[np.integer]
Floats = npt.NDArray[np.float64]

THRESHOLD = 0.5  # with several labels a row, it is predicted to have the classes of at least this probability


@dataclass(frozen=True, eq=False)
class ClassCounts:
    """The counts that F1 is computed from, by class [..., C]."""

    hits: npt.NDArray[Any]  # rows that have the class and were predicted to
    actual: npt.NDArray[Any]  # rows that have it
    predicted: npt.NDArray[Any]  # rows that were predicted to have it


def predict_classes(scores: npt.NDArray[np.floating], *, like: Targets) -> Targets:
    """Return the class with the highest score [N], the first of equal ones; or the classes from THRESHOLD on.

    `like` are targets, whose dimensions the result has. `scores` [N, C] are probabilities; for one class a
    row, scores in the same order give the same result.
    """
    if like.ndim == 2:
        return (scores >= THRESHOLD).astype(np.uint8)
    return np.asarray(scores.argmax(axis=1))


def correct_rows(targets: Targets, predicted: Targets) -> npt.NDArray[np.bool_]:
    """Return whether each row [N] is predicted to have its class, or exactly its classes."""
    same = targets == predicted
    return np.asarray(same.all(axis=1) if targets.ndim == 2 else same)


def accuracy(targets: Targets, predicted: Targets) -> float:
    """Return the share of rows whose class is correct, or whose classes all are (subset accuracy)."""
    return float(correct_rows(targets, predicted).mean())


def count_by_class(targets: Targets, predicted: Targets, n_classes: int) -> ClassCounts:
    """Return the counts [C] that F1 is computed from."""
    if targets.ndim == 2:
        both = (targets.astype(bool) & predicted.astype(bool)).sum(axis=0)
        return ClassCounts(both, targets.sum(axis=0, dtype=np.int64), predicted.sum(axis=0, dtype=np.int64))
    parts = (targets[targets == predicted], targets, predicted)
    return ClassCounts(*(np.bincount(part, minlength=n_classes) for part in parts))


def f1_by_class(counts: ClassCounts) -> Floats:
    """Return the F1 [..., C] of each class; 0 for a class that no row has or was predicted to have."""
    return np.asarray(2 * counts.hits / np.maximum(counts.actual + counts.predicted, 1))


def macro_f1_of(counts: ClassCounts) -> Floats:
    """Return the mean F1 [...] of the classes that some row has; 0 if no row has any."""
    f1 = f1_by_class(counts)  # 0 for a class that no row has, so that the sum is over the others
    return np.asarray(f1.sum(axis=-1) / np.maximum((counts.actual > 0).sum(axis=-1), 1))


def macro_f1(targets: Targets, predicted: Targets, n_classes: int) -> float:
    """Return the mean F1 of the classes that some row has; 0 if no row has any."""
    return float(macro_f1_of(count_by_class(targets, predicted, n_classes)))
