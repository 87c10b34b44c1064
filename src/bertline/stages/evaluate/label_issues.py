"""Which labels look wrong: confident learning from predictions of rows that the model was not fitted to.

Confident learning estimates how many labels are wrong; it allows for classes that the model is less sure of.
Among the rows whose predicted class is not their label, that many are taken, the least probable label first.
Guarantees: the same predictions give the same rows in the same order. Does not guarantee that a label is
wrong. Measured in tests/stages/evaluate/test_label_issues.py:

- One label a row: 60 labels of 2,000 rows were changed at random. TF-IDF predictions found four of five of
  them; one of three rows found was one of them, at the top two of three.
- Several labels a row: each class is judged by itself, as two classes: the row has it, or not. One label was
  added or taken away in 60 of 2,000 rows of one to three questions each. Two of three were found; one of
  seven rows found was one of them, at the top two of five. cleanlab's own filter for several labels a row
  found somewhat more, but fewer at the top.

Source: Northcutt, Jiang & Chuang, Confident Learning: Estimating Uncertainty in Dataset Labels, Journal of
Artificial Intelligence Research 70, 2021; cleanlab is its authors' library.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bertline.metrics.classification import Targets
from bertline.metrics.predictions import Predictions
from bertline.models.tfidf import joined
from bertline.rows.io import inputs

LIMIT = 1000  # rows of label_issues.csv
_FOUND = pa.schema({"row": pa.int64(), "given": pa.string(), "suggested": pa.string(), "score": pa.float64()})


@dataclass(frozen=True, kw_only=True)
class LabelIssues:
    """The rows of several sides whose labels look wrong."""

    found: dict[str, int]  # by side: how many rows look wrong
    rows: dict[str, int]  # by side: of how many rows
    worst: pa.Table  # side, id, text, given, suggested, score, source; most suspicious first, perhaps not all


def list_label_issues(sides: dict[str, tuple[Predictions, pa.Table]], limit: int = LIMIT) -> LabelIssues:
    """Return the rows whose labels look wrong, at most `limit`, by predictions of rows the model did not see.

    Raises:
        ValueError: the predictions of a side are not those of its rows.
    """
    found: dict[str, int] = {}
    tables = []
    for side, (predictions, rows) in sides.items():
        ids = pa.chunked_array([pa.array(predictions.ids, pa.string())])
        if not ids.equals(rows["id"]):  # as Arrow: a list of millions of ids would take a third of a GB
            raise ValueError(f"the predictions of the {side} split are of other rows; run `dvc repro`")
        issues = find_label_issues(predictions)
        found[side] = issues.num_rows
        issues = issues.slice(0, limit)  # the most suspicious: no other one can be listed
        chosen = rows.take(issues["row"])
        columns = {
            "side": pa.repeat(side, issues.num_rows),
            "id": chosen["id"],
            "text": pa.array(joined(inputs(chosen)), pa.string()),
            **{name: issues[name] for name in ("given", "suggested", "score")},
            "source": chosen["source"],
        }
        tables.append(pa.table(columns))
    return LabelIssues(
        found=found,
        rows={side: rows.num_rows for side, (_, rows) in sides.items()},
        worst=pa.concat_tables(tables).sort_by("score").slice(0, limit),
    )


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
    labels = (predictions.space.decode(targets) for targets in (given, suggested))
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
    """Return the rows with a label that looks wrong, their lowest score, and their corrected labels."""
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
