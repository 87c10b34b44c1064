"""The test rows that belong to no class: what the candidate answers, in a file and numbers of their own.

They have no right class, so no score, interval or confusion of the other rows counts them.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bertline.metrics.classification import predict_classes
from bertline.metrics.predict import Model
from bertline.rows.io import inputs

FILE = "out_of_scope.parquet"


def evaluate_out_of_scope(model: Model, rows: pa.Table, predictions: Path) -> dict[str, Any]:
    """Predict `rows`, the test rows out of scope, and return the block `out_of_scope` of metrics.json.

    It writes `FILE` into the folder `predictions`: id, prediction and probabilities [C] of each row, and the
    classes as JSON in the metadata. Without rows it writes nothing, removes an older file and returns {}.
    """
    path = predictions / FILE
    if not rows.num_rows:
        path.unlink(missing_ok=True)
        return {}
    probabilities = model.probabilities(inputs(rows)).astype(np.float32)
    predicted = predict_classes(probabilities, like=model.space.encode([]))
    columns = {
        "id": rows["id"],
        "prediction": pa.array(model.space.decode(predicted), pa.string()),
        "probabilities": pa.array(list(probabilities), pa.list_(pa.float32())),
    }
    predictions.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns, metadata={"classes": json.dumps(model.space.classes)}), path)
    return {"rows": rows.num_rows}
