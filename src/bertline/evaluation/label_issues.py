"""Which labels look wrong: confident learning from predictions of rows that the model was not fitted to.

How many labels are wrong is estimated by confident learning, which allows for classes the model is less
sure of; as many rows are taken among those predicted otherwise than labelled, the least probable label
first. Guarantees: the same predictions give the same rows in the same order. Does not guarantee that a
label is wrong: with 60 labels of 2,000 rows changed at random, TF-IDF predictions found four of five of them;
one of three rows found was one of them, at the top two of three (tests/evaluation/test_label_issues.py).

Source: Northcutt, Jiang & Chuang, Confident Learning: Estimating Uncertainty in Dataset Labels, Journal of
Artificial Intelligence Research 70, 2021; cleanlab is its authors' library.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from bertline.evaluation.predictions import Predictions

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
    """
    from cleanlab.count import num_label_issues  # here: the import takes half a second
    from cleanlab.rank import get_label_quality_scores

    judged = np.flatnonzero(predictions.probabilities[np.arange(len(predictions.ids)), predictions.expected])
    labels, predicted = predictions.expected[judged], predictions.predicted[judged]
    if len(np.unique(labels)) < 2:  # nothing to tell apart
        return _FOUND.empty_table()
    probabilities = predictions.probabilities[judged].astype(np.float64)
    scores = get_label_quality_scores(labels, probabilities, method="self_confidence")
    differing = np.flatnonzero(predicted != labels)
    order = differing[np.argsort(scores[differing], kind="stable")]
    worst = order[: num_label_issues(labels, probabilities)]
    classes = np.array(predictions.classes, dtype=object)
    columns = [judged[worst], classes[labels[worst]], classes[predicted[worst]], scores[worst].round(6)]
    return pa.table(columns, schema=_FOUND)
