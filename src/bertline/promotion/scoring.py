"""Score a registered model on today's test rows, as `evaluate` did with the candidate.

Guarantees: the rows in the order of the table, as in the candidate's predictions. A row whose label the
model does not know counts against it.
"""

from pathlib import Path

import numpy as np

from bertline.corpus.rows import inputs, read_rows
from bertline.evaluation.predictions import Predictions, align
from bertline.params.evaluate import Params
from bertline.serving.classifier import Classifier


def score(model: Path, rows: Path, params: Params) -> Predictions:
    """Return what the model folder `model` says about the table `rows`.

    Raises:
        ValueError: one of them cannot be read.
    """
    table = read_rows(rows)
    labels: list[str] = table["label"].to_pylist()
    classifier = Classifier(model, threads=params.threads, batch_size=params.batch_size)
    classes = tuple(sorted({*labels, *classifier.labels}))
    return Predictions(
        ids=table["id"].to_pylist(),
        classes=classes,
        expected=np.searchsorted(classes, labels).astype(np.int64),
        probabilities=align(classifier.probabilities(inputs(table)), classifier.labels, classes),
    )
