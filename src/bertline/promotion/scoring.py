"""Score a registered model on today's test rows, as `evaluate` did with the candidate.

Guarantees: the rows in the order of the table, as in the candidate's predictions. A row whose label the
model does not know counts against it. Where the rows are multi-label and the model is not, being older, its
answer is its most probable class. Labels of an older model that `ingest` writes alike by now are one.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from bertline.corpus.rows import count_labels, inputs, is_multi_label, label_name, read_rows
from bertline.evaluation.predictions import Predictions, encode
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
    known = [label_name(label) for label in classifier.labels]  # as `ingest` writes them
    classes = tuple(sorted({*count_labels(table, multi_label=multi_label), *known}))
    probabilities = classifier.probabilities(inputs(table))
    if multi_label and not classifier.multi_label:
        probabilities = np.eye(len(classifier.labels), dtype=np.float32)[probabilities.argmax(axis=1)]
    return Predictions(
        ids=table["id"].to_pylist(),
        classes=classes,
        expected=encode(table["label"].to_pylist(), classes, multi_label=multi_label),
        probabilities=_by_class(probabilities, known, classes, multi_label=classifier.multi_label),
    )


def _by_class(
    probabilities: npt.NDArray[np.float32], known: list[str], classes: tuple[str, ...], *, multi_label: bool
) -> npt.NDArray[np.float32]:
    """Return `probabilities` of the labels `known` as those of `classes`: 0 of one that the model lacks."""
    together = np.maximum if multi_label else np.add
    found = np.zeros((len(probabilities), len(classes)), probabilities.dtype)
    for label, column in zip(known, probabilities.T, strict=True):
        at = classes.index(label)
        found[:, at] = together(found[:, at], column)
    return found
