"""Let a model predict a table of rows: the one way for `evaluate` and for the promotion."""

from dataclasses import replace
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bertline.metrics.predictions import Predictions
from bertline.rows.io import inputs
from bertline.rows.labels import LabelSpace, class_name


class Model(Protocol):
    """A model: it turns texts into probabilities."""

    @property
    def space(self) -> LabelSpace:
        """The C classes, in any order, and whether a row may have several of them."""

    def probabilities(self, inputs: list[str | tuple[str, str]], /) -> npt.NDArray[np.float32]:
        """Class probabilities [N, C] of N texts or sentence pairs."""


def predict(
    model: Model, rows: pa.Table, space: LabelSpace, *, unknown_labels: Literal["error", "count_as_wrong"]
) -> Predictions:
    """Return the predictions of `model` for `rows`, in their order.

    Args:
        model: its labels count as `ingest` would write them; the probabilities of two that became equal are
            added.
        rows: a table of rows with labels.
        space: whether a row may have several labels. Then a model that knows one class a row predicts its
            most probable class, with certainty.
        unknown_labels: what a label that the model does not know means: an error, or a row that the model
            has wrong, because the probability of that class is 0.

    Raises:
        ValueError: there are no rows; or one has a label that the model does not know, and that is an error.
    """
    if rows.num_rows == 0:
        raise ValueError("the test split has no rows; raise split.test in params.yaml")
    known = replace(model.space, classes=tuple(map(class_name, model.space.classes)))
    unknown = sorted(space.count(rows).keys() - set(known.classes))
    if unknown and unknown_labels == "error":
        raise ValueError(
            f"the test split has the label {unknown[0]!r}, which is not in the training split"
            f" ({', '.join(known.classes)}); add rows of it,"
            " or list the labels allowed as validate.labels in params.yaml"
        )
    space = space.with_classes({*unknown, *known.classes})
    probabilities = model.probabilities(inputs(rows))
    if space.multi_label and not known.multi_label:
        probabilities = np.eye(len(known.classes), dtype=np.float32)[probabilities.argmax(axis=1)]
    return Predictions(
        ids=rows["id"].to_pylist(),
        classes=space.classes,
        expected=space.encode(rows["label"].to_pylist()),
        probabilities=_by_class(probabilities, known, space.classes),
    )


def _by_class(
    probabilities: npt.NDArray[np.float32], known: LabelSpace, classes: tuple[str, ...]
) -> npt.NDArray[np.float32]:
    """Return `probabilities` of the classes `known` as those of `classes`: 0 for one that the model lacks."""
    if known.classes == classes:
        return probabilities
    together = np.maximum if known.multi_label else np.add
    found = np.zeros((len(probabilities), len(classes)), probabilities.dtype)
    for label, column in zip(known.classes, probabilities.T, strict=True):
        at = classes.index(label)
        found[:, at] = together(found[:, at], column)
    return found
