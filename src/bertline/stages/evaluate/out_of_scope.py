"""The test rows that belong to no class, and the answers that the candidate refuses: numbers of their own.

Rows out of scope have no right class, so no score, interval or confusion of the other rows counts them. Rows
in scope count there whether the candidate refuses them or not.
"""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from bertline.metrics.classification import predict_classes
from bertline.metrics.ranking import roc_auc
from bertline.metrics.rounding import rounded
from bertline.models.abstention import reasons
from bertline.models.classifier import Answers
from bertline.rows.labels import LabelSpace

FILE = "out_of_scope.parquet"


def write_out_of_scope(answers: Answers, space: LabelSpace, ids: pa.ChunkedArray, predictions: Path) -> None:
    """Write the `answers` to the test rows out of scope into the folder `predictions`.

    `FILE` has id, prediction, probabilities [C], out-of-scope score and reason of a refusal (null: answered)
    of each row, and the classes as JSON in its metadata. Without rows an older file is removed.
    """
    path = predictions / FILE
    if not len(ids):
        path.unlink(missing_ok=True)
        return
    predicted = predict_classes(answers.probabilities, like=space.encode([]))
    columns = {
        "id": ids,
        "prediction": pa.array(space.decode(predicted), pa.string()),
        "probabilities": pa.array(list(answers.probabilities), pa.list_(pa.float32())),
        "out_of_scope": pa.array(answers.out_of_scope, pa.float32()),
        "refused": pa.array(reasons(answers.refused), pa.string()),
    }
    predictions.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns, metadata={"classes": json.dumps(space.classes)}), path)


def count_refusals(
    inside: Answers, right_N: npt.NDArray[np.bool_], outside: Answers
) -> dict[str, dict[str, float]]:
    """Return blocks of metrics.json: what the thresholds that `export` set do on the test rows.

    `abstention` has the share of the rows in scope that is answered, and the precision of these answers.
    `out_of_scope`, if there are such rows, has their number, the share that is refused, and the AUROC of the
    score.

    Args:
        inside: the answers to the N rows in scope.
        right_N: whether each of them is right.
        outside: the answers to the rows out of scope.
    """
    answered_N = inside.refused == 0
    found = {"abstention": {"answered": float(answered_N.mean())}}
    if answered_N.any():
        found["abstention"]["precision_of_answered"] = float(right_N[answered_N].mean())
    if rows := len(outside.refused):
        found["out_of_scope"] = {
            "rows": rows,
            "refused": float((outside.refused > 0).mean()),
            "auroc": roc_auc(outside.out_of_scope, inside.out_of_scope),
        }
    blocks: dict[str, dict[str, float]] = rounded(found)
    return blocks
