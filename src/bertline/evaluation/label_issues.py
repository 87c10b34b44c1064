"""Which labels look wrong: confident learning from predictions of rows that the model was not fitted to.

How many labels are wrong is estimated by confident learning, which allows for classes the model is less
sure of; as many rows are taken among those predicted otherwise than labelled, the least probable label
first. Guarantees: the same predictions give the same rows in the same order. Does not guarantee that a
label is wrong: with 60 labels of 2,000 rows changed at random, TF-IDF predictions found four of five of them;
one of three rows found was one of them, at the top two of three (tests/evaluation/test_label_issues.py).

Of a multi-label target, each label is judged by itself, as two classes: the row has it, or not. With one
label added or taken away in 60 of 2,000 rows of one to three questions each, two of three were found; one of
seven rows found was one of them, at the top two of five. cleanlab's own filter for multi-label targets
found somewhat more, but fewer at the top.

Source: Northcutt, Jiang & Chuang, Confident Learning: Estimating Uncertainty in Dataset Labels, Journal of
Artificial Intelligence Research 70, 2021; cleanlab is its authors' library.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bertline.evaluation.predictions import Predictions, Targets, decode

_FOUND = pa.schema({"row": pa.int64(), "given": pa.string(), "suggested": pa.string(), "score": pa.float64()})


@dataclass(frozen=True, kw_only=True)
class LabelIssues:
    """The rows of several sides whose labels look wrong."""

    found: dict[str, int]  # by side: how many rows look wrong
    rows: dict[str, int]  # by side: of how many rows
    worst: pa.Table  # side, id, text, given, suggested, score, source; most suspicious first, perhaps not all


def find_label_issues(predictions: Predictions) -> pa.Table:
    """Return the rows whose label looks wrong, the most suspicious first.

    Columns: row (its place, from 0), the label given, the one suggested, and score, the probability of the
    one given. A row whose label has probability 0 is not judged: the model never saw that class.
    Multi-label: all labels of the row, given and suggested, and the lowest probability of a decision given.
    """
    if predictions.multi_label:
        rows, scores, suggested = _doubtful_sets(predictions)
    else:
        rows, scores = _doubtful(predictions.expected, predictions.probabilities)
        suggested = predictions.predicted[rows]
    given = predictions.expected[rows]
    labels = (decode(targets, predictions.classes) for targets in (given, suggested))
    return pa.table([rows, *labels, scores.round(6)], schema=_FOUND)


def _doubtful(
    expected: Targets, probabilities: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return the rows whose class [N] looks wrong, and its probability, the least probable first."""
    from cleanlab.count import num_label_issues  # here: the import takes half a second
    from cleanlab.rank import get_label_quality_scores

    judged = np.flatnonzero(probabilities[np.arange(len(expected)), expected])
    labels, judgements = expected[judged], probabilities[judged].astype(np.float64)
    if len(np.unique(labels)) < 2:  # nothing to tell apart
        return judged[:0], np.empty(0)
    scores = get_label_quality_scores(labels, judgements, method="self_confidence")
    differing = np.flatnonzero(probabilities[judged].argmax(axis=1) != labels)
    order = differing[np.argsort(scores[differing], kind="stable")]
    worst = order[: num_label_issues(labels, judgements)]
    return judged[worst], scores[worst]


def _doubtful_sets(
    predictions: Predictions,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], Targets]:
    """Return the rows of which some label looks wrong, their lowest score, their labels put right."""
    lowest = np.ones(len(predictions.ids))
    suggested = predictions.expected.copy()
    for column, probability in zip(range(len(predictions.classes)), predictions.probabilities.T, strict=True):
        has = predictions.expected[:, column].astype(np.int64)
        rows, scores = _doubtful(has, np.stack([1 - probability, probability], axis=1))
        suggested[rows, column] = 1 - has[rows]
        lowest[rows] = np.minimum(lowest[rows], scores)
    found = np.flatnonzero((suggested != predictions.expected).any(axis=1))
    found = found[np.argsort(lowest[found], kind="stable")]
    return found, lowest[found], suggested[found]
