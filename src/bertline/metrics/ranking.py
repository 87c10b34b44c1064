"""Scores of an order: how far rows that have a class lie above rows that do not. They need no threshold.

They are invariant to a rescaling of the scores that keeps their order. Equal scores share a place, so no
number depends on the order of the rows.
Legend: N rows, C classes, P rows that have a class, Q rows that do not, A pairs of a row and its label.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from bertline.metrics.classification import Targets

Scores = npt.NDArray[np.floating]
TwoSides = Callable[[Scores, Scores], float]

NUMBERS_AT_ONCE = 4_000_000


def roc_auc(above_P: Scores, below_Q: Scores) -> float:
    """Return how often a score of `above_P` exceeds one of `below_Q`: the area under the ROC curve.

    Equal scores count half. Neither side is empty. Source: Hanley & McNeil, Radiology 143 (1982).
    """
    order_Q, asked_P = np.sort(below_Q), np.sort(above_P)
    lower = sum(int(np.searchsorted(order_Q, asked_P, side).sum()) for side in ("left", "right"))
    return lower / (2 * len(asked_P) * len(order_Q))


def average_precision(above_P: Scores, below_Q: Scores) -> float:
    """Return the mean precision at the score of each row of `above_P`: the area under the PR curve, in steps.

    `above_P` is not empty. As in scikit-learn, nothing is interpolated (Davis & Goadrich, ICML 2006).
    """
    order_Q, order_P = np.sort(below_Q), np.sort(above_P)
    hits_P = len(order_P) - np.searchsorted(order_P, order_P, "left")
    false_P = len(order_Q) - np.searchsorted(order_Q, order_P, "left")
    return float((hits_P / (hits_P + false_P)).mean())


def one_vs_rest(score: TwoSides, expected: Targets, scores_NC: Scores) -> float | None:
    """Return the mean of `score` over the classes that some rows have and others do not; None without any."""
    found = []
    for i, scores_N in enumerate(scores_NC.T):
        has_N = expected[:, i].astype(bool) if expected.ndim == 2 else expected == i
        if 0 < has_N.sum() < len(has_N):
            found.append(score(scores_N[has_N], scores_N[~has_N]))
    return float(np.mean(found)) if found else None


def micro(score: TwoSides, expected_NC: Targets, scores_NC: Scores) -> float | None:
    """Return `score` over all rows and labels together; None if all are true, or none."""
    has_NC = expected_NC.astype(bool)
    return score(scores_NC[has_NC], scores_NC[~has_NC]) if 0 < has_NC.sum() < has_NC.size else None


def label_ranking_average_precision(expected_NC: Targets, scores_NC: Scores) -> float:
    """Return the mean share, over the labels of a row, of its labels among those ranked as high; rows' mean.

    A row that has no label, or all, counts 1. Source: Tsoumakas, Katakis & Vlahavas, Mining Multi-label Data,
    2010.
    """
    has_NC = expected_NC.astype(bool)
    labels_N = has_NC.sum(axis=1)
    row_A, column_A = np.nonzero(has_NC)
    total = float((labels_N == 0).sum())
    step = max(1, NUMBERS_AT_ONCE // has_NC.shape[1])
    for start in range(0, len(row_A), step):
        row, column = row_A[start : start + step], column_A[start : start + step]
        as_high = scores_NC[row] >= scores_NC[row, column][:, None]
        share = (as_high & has_NC[row]).sum(axis=1) / as_high.sum(axis=1)
        total += float((share / labels_N[row]).sum())
    return total / len(labels_N)


def mean_jaccard(expected_NC: Targets, predicted_NC: Targets) -> float:
    """Return the mean over rows of the labels in both sets by the labels in either; 0 if neither has any."""
    expected_NC, predicted_NC = expected_NC.astype(bool), predicted_NC.astype(bool)
    both_N = (expected_NC & predicted_NC).sum(axis=1)
    either_N = (expected_NC | predicted_NC).sum(axis=1)
    return float((both_N / np.maximum(either_N, 1)).mean())
