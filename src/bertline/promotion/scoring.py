"""Score a registered model on today's test rows, as `evaluate` did with the candidate.

Guarantees: the rows in the order of the table, as in the candidate's predictions. A row whose label the
model does not know counts against it. Where the rows are multi-label and the model is not, being older, its
answer is its most probable class.
"""

from pathlib import Path

import numpy as np

from bertline.corpus.rows import count_labels, inputs, is_multi_label, label_name, read_rows
from bertline.evaluation.predictions import Predictions, align, encode
from bertline.params.evaluate import Params
from bertline.serving.classifier import Classifier


def score(model: Path, rows: Path, params: Params) -> Predictions:
    """Return what the model folder `model` says about the table `rows`.

    Raises:
        ValueError: one of them cannot be read.
    """
    table = read_rows(rows)
    multi_label = is_multi_label(rows)
    classifier = Classifier(model, threads=params.threads, batch_size=params.batch_size)
    known = tuple(map(label_name, classifier.labels))  # as `ingest` writes labels; older models may not have
    classes = tuple(sorted({*count_labels(table, multi_label=multi_label), *known}))
    probabilities = classifier.probabilities(inputs(table))
    if multi_label and not classifier.multi_label:
        probabilities = np.eye(len(classifier.labels), dtype=np.float32)[probabilities.argmax(axis=1)]
    return Predictions(
        ids=table["id"].to_pylist(),
        classes=classes,
        expected=encode(table["label"].to_pylist(), classes, multi_label=multi_label),
        probabilities=align(probabilities, known, classes),
    )
