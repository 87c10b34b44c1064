"""The test rows that were answered wrongly, the most confident mistakes first.

With several labels a row, a row is wrong unless all of its labels are right, and its probability is that of
the wrong decision that the model was surest of. Guarantees the same rows in the same order for the same
predictions. Does not say whose mistake it is: the label may be the wrong one (`label_issues`).
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from bertline.metrics.predictions import Predictions
from bertline.models.tfidf import joined
from bertline.reporting.spreadsheet import safe_table
from bertline.rows.io import inputs

LIMIT = 5000  # rows of mistakes.csv
FILE = "mistakes.parquet"
"""What `bertline mistakes` reads: the texts and labels as they are. mistakes.csv is for spreadsheets."""


def list_mistakes(predictions: Predictions, rows: pa.Table, limit: int = LIMIT) -> pa.Table:
    """Return the wrong rows, at most `limit`: id, content_id, text, label, prediction, probability, source.

    Args:
        predictions: of the N `rows`, in their order.
        rows: a table of `ROW_SCHEMA`.
        limit: the number of rows, of which the most confident mistakes are kept.

    Labels with several classes are as in the rows, joined by `LABEL_SEPARATOR`.
    """
    assert predictions.ids == rows["id"].to_pylist(), "predictions of other rows"
    confidence_N = predictions.probabilities.max(axis=1)
    if predictions.multi_label:  # of a wrong decision; a right one differs less from what was expected
        confidence_N = np.abs(predictions.probabilities - predictions.expected).max(axis=1)
    wrong = np.flatnonzero(~predictions.right)
    worst = wrong[np.argsort(-confidence_N[wrong], kind="stable")][:limit]
    chosen = rows.take(worst)
    return pa.table(
        {
            "id": chosen["id"],
            "content_id": chosen["content_id"],
            "text": pa.array(joined(inputs(chosen)), pa.string()),
            "label": chosen["label"],
            "prediction": pa.array(predictions.space.decode(predictions.predicted[worst]), pa.string()),
            "probability": confidence_N[worst].astype(np.float64).round(6),
            "source": chosen["source"],
        }
    )


def write_mistakes(predictions: Predictions, rows: pa.Table, report: Path) -> pa.Table:
    """Write what `list_mistakes` finds into the folder `report`, as Parquet and as CSV, and return it."""
    found = list_mistakes(predictions, rows)
    metadata = predictions.space.metadata
    pq.write_table(found.replace_schema_metadata(metadata), report / FILE, compression="zstd")
    for name in ("label", "prediction"):
        shown = pa.array(map(predictions.space.shown, found[name].to_pylist()), pa.string())
        found = found.set_column(found.column_names.index(name), name, shown)
    pyarrow.csv.write_csv(safe_table(found), report / "mistakes.csv")
    return found
