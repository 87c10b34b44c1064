"""What a model said about the test rows: the file between `evaluate` and the promotion.

Of a single-label target each row has one of the classes; of a multi-label target any of them, or none, and
the probability of each is on its own. The shape of the expected labels says which it is.

Guarantees: rows keep their order, classes are sorted, a file reads back to the same bits.
Does not guarantee that two files speak of the same rows: `check_same_rows` does.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from bertline.corpus.rows import LABEL_SEPARATOR, label_matrix

Targets = npt.NDArray[np.integer]
"""Of N rows, indices into the classes, int64 [N]; or multi-label, 1 where a row has a class, uint8 [N, C]."""

THRESHOLD = 0.5  # a multi-label row is predicted to have the classes of at least this probability

_SCHEMA = pa.schema(
    {
        "id": pa.string(),
        "label": pa.string(),
        "prediction": pa.string(),
        "probabilities": pa.list_(pa.float32()),
    }
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """Probabilities of C classes for N rows, and the class, or the classes, each row was expected to have."""

    ids: list[str]  # [N]
    classes: tuple[str, ...]  # [C], sorted
    expected: Targets  # [N], or multi-label [N, C]
    probabilities: npt.NDArray[np.float32]  # [N, C]

    def __post_init__(self) -> None:
        rows, width = len(self.ids), len(self.classes)
        assert list(self.classes) == sorted(set(self.classes)), self.classes
        assert self.expected.shape in ((rows,), (rows, width)), self.expected.shape
        assert self.probabilities.shape == (rows, width), self.probabilities.shape

    @property
    def multi_label(self) -> bool:
        """Whether a row may have several classes, or none."""
        return self.expected.ndim == 2

    @property
    def predicted(self) -> Targets:
        """The most probable class of each row, of equal ones the first; or the classes from THRESHOLD on."""
        if self.multi_label:
            return (self.probabilities >= THRESHOLD).astype(np.uint8)
        return np.asarray(self.probabilities.argmax(axis=1))

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """Whether each row [N] is predicted to have its class, or exactly its classes."""
        same = self.expected == self.predicted
        return np.asarray(same.all(axis=1) if self.multi_label else same)

    def over(self, classes: Sequence[str]) -> "Predictions":
        """Return the same predictions over more classes: those the model does not know have probability 0."""
        expected = (
            align(self.expected, self.classes, classes)
            if self.multi_label
            else np.searchsorted(classes, self.classes)[self.expected]
        )
        probabilities = align(self.probabilities, self.classes, classes)
        return replace(self, classes=tuple(classes), expected=expected, probabilities=probabilities)


def encode(labels: Sequence[str], classes: Sequence[str], *, multi_label: bool) -> Targets:
    """Return the `labels` [N] of a table of rows as indices into `classes`, or multi-label as a matrix.

    Raises:
        KeyError: a label is not among `classes`.
    """
    if multi_label:
        return label_matrix(labels, classes)
    index = {label: i for i, label in enumerate(classes)}
    return np.array([index[label] for label in labels], dtype=np.int64)


def decode(targets: Targets, classes: Sequence[str]) -> list[str]:
    """Return `targets` as labels [N]; several are joined by LABEL_SEPARATOR, as in a table of rows."""
    names = np.array(classes, dtype=object)
    if targets.ndim == 1:
        return list(names[targets])
    return [LABEL_SEPARATOR.join(names[row]) for row in targets.astype(bool)]


def align(
    columns: npt.NDArray[Any], from_labels: Sequence[str], to_labels: Sequence[str]
) -> npt.NDArray[Any]:
    """Return `columns` [N, from] as [N, to]: a class that the model does not know has probability 0.

    Raises:
        ValueError: `to_labels` lacks a class of the model. Dropping its column would turn the row's answer
            into another one, so compare two models over the union of their labels.

    """
    missing = sorted(set(from_labels) - set(to_labels))
    if missing:
        raise ValueError(f"the model predicts {missing[0]!r}, which is not among {', '.join(to_labels)}")
    aligned = np.zeros((len(columns), len(to_labels)), dtype=columns.dtype)
    aligned[:, [list(to_labels).index(label) for label in from_labels]] = columns
    return aligned


def check_same_rows(a: Predictions, b: Predictions) -> None:
    """Raise a ValueError unless `a` and `b` are of the same rows, in one order, with the same labels."""
    if a.ids != b.ids:
        shared = len(set(a.ids) & set(b.ids))
        raise ValueError(
            f"the predictions are of different rows ({len(a.ids)} and {len(b.ids)}, {shared} in common)"
            " or in another order; run `dvc repro evaluate`"
        )
    same = a.multi_label == b.multi_label and decode(a.expected, a.classes) == decode(b.expected, b.classes)
    if not same:
        raise ValueError("the predictions expect different labels of the same rows; run `dvc repro evaluate`")


def write_predictions(predictions: Predictions, path: Path) -> None:
    """Write `predictions` as Parquet; the classes are in the schema's metadata, as JSON."""
    metadata = {"classes": json.dumps(predictions.classes)}
    if predictions.multi_label:
        metadata["target"] = "multi_label"  # as in a table of rows
    rows, width = predictions.probabilities.shape
    offsets = pa.array(np.arange(rows + 1, dtype=np.int32) * width)
    table = pa.table(
        {
            "id": predictions.ids,
            "label": decode(predictions.expected, predictions.classes),
            "prediction": decode(predictions.predicted, predictions.classes),
            "probabilities": pa.ListArray.from_arrays(
                offsets, predictions.probabilities.astype(np.float32).ravel()
            ),
        },
        schema=_SCHEMA.with_metadata(metadata),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def read_predictions(path: Path) -> Predictions:
    """Read what `write_predictions` wrote.

    Raises:
        ValueError: there is no such file, or it holds something else.

    """
    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise ValueError(f"{path} is not here; run `dvc repro evaluate`") from None
    except pa.ArrowInvalid:
        raise ValueError(f"{path} is not a Parquet file; run `dvc repro --force evaluate`") from None
    metadata = table.schema.metadata or {}
    if not table.schema.equals(_SCHEMA) or b"classes" not in metadata:
        raise ValueError(f"{path} does not hold predictions; run `dvc repro --force evaluate`")
    classes = tuple(json.loads(metadata[b"classes"]))
    multi_label = metadata.get(b"target") == b"multi_label"
    flat = table["probabilities"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return Predictions(
        ids=table["id"].to_pylist(),
        classes=classes,
        expected=encode(table["label"].to_pylist(), classes, multi_label=multi_label),
        probabilities=flat.reshape(table.num_rows, len(classes)),
    )
