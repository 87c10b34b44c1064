"""The pairs of classes that are confused most, with examples: confused.json.

With several labels a row there are no pairs: which missed label was taken for which wrong one, nobody knows.
Guarantees the same pairs in the same order for the same predictions. Does not say whose mistake it is: the
label may be the wrong one (`label_issues`).
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bertline.core.files import write_json
from bertline.metrics.predictions import Predictions
from bertline.metrics.rounding import rounded
from bertline.models.tfidf import joined
from bertline.rows.io import inputs

PAIRS, EXAMPLES = 20, 3
SKIPPED = "with several labels a row, nobody knows which label was taken for which"


def confused_pairs(predictions: Predictions, rows: pa.Table) -> dict[str, Any]:
    """Return the pairs of actual and predicted class with the most rows, at most `PAIRS`.

    Each has its rows, their share of the rows of the actual class, and up to `EXAMPLES` of them, the most
    confident mistakes first. `rows` is the table of the N rows of `predictions`, in their order.
    """
    if predictions.multi_label:
        return {"pairs": [], "pairs_found": 0, "skipped": SKIPPED}
    classes, expected = predictions.classes, predictions.expected
    predicted, confidence_N = predictions.predicted, predictions.probabilities.max(axis=1)
    wrong = np.flatnonzero(expected != predicted)
    codes, counts = np.unique(expected[wrong] * len(classes) + predicted[wrong], return_counts=True)
    support_C = np.bincount(expected, minlength=len(classes))
    most = np.argsort(-counts, kind="stable")[:PAIRS]
    pairs = []
    for code, count in zip(codes[most].tolist(), counts[most].tolist(), strict=True):
        actual, answer = divmod(code, len(classes))
        those = wrong[(expected[wrong] == actual) & (predicted[wrong] == answer)]
        shown = rows.take(those[np.argsort(-confidence_N[those], kind="stable")][:EXAMPLES])
        texts = zip(shown["id"].to_pylist(), joined(inputs(shown)), strict=True)
        pairs.append(
            {
                "actual": classes[actual],
                "predicted": classes[answer],
                "rows": count,
                "share_of_actual": count / int(support_C[actual]),
                "examples": [{"id": id_, "text": text} for id_, text in texts],
            }
        )
    return {"pairs": [rounded(pair) for pair in pairs], "pairs_found": len(codes), "skipped": None}


def write_confused_pairs(predictions: Predictions, rows: pa.Table, report: Path) -> None:
    """Write what `confused_pairs` finds into the folder `report`."""
    write_json(report / "confused.json", confused_pairs(predictions, rows))
