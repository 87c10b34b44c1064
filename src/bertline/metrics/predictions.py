"""A model's predictions for the test rows: the file between `evaluate` and the promotion.

With one class a row, its probabilities add up to 1. With several, a row has any of the classes, or none, and
each probability stands alone. The shape of the expected labels distinguishes the two cases.

Guarantees: rows keep their order, classes are sorted, a file reads back to the same bits.
Does not guarantee that two files are about the same rows: `check_same_rows` does.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from bertline.metrics.classification import Targets, correct_rows, predict_classes
from bertline.rows.labels import LabelSpace

_ROW_GROUP = 1 << 20  # rows of a Parquet row group, and written at once

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
    def space(self) -> LabelSpace:
        """The classes, and whether a row may have several of them."""
        return LabelSpace(self.classes, self.multi_label)

    @property
    def predicted(self) -> Targets:
        """The most probable class of each row, of equal ones the first; or the classes from THRESHOLD on."""
        return predict_classes(self.probabilities, like=self.expected)

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """Whether each row [N] is predicted to have its class, or exactly its classes."""
        return correct_rows(self.expected, self.predicted)

    def over(self, classes: Sequence[str]) -> "Predictions":
        """Return the same predictions over more classes: those the model does not know have probability 0."""
        expected = (
            align(self.expected, self.classes, classes)
            if self.multi_label
            else np.searchsorted(classes, self.classes)[self.expected]
        )
        probabilities = align(self.probabilities, self.classes, classes)
        return replace(self, classes=tuple(classes), expected=expected, probabilities=probabilities)


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
    same_kind = a.multi_label == b.multi_label
    if not same_kind or a.space.decode(a.expected) != b.space.decode(b.expected):
        raise ValueError("the predictions expect different labels of the same rows; run `dvc repro evaluate`")


def write_predictions(predictions: Predictions, path: Path) -> None:
    """Write `predictions` as Parquet, a row group at a time; the classes are in its metadata, as JSON."""
    metadata = {"classes": json.dumps(predictions.classes)}
    if predictions.multi_label:  # without it, labels are single
        metadata |= predictions.space.metadata
    schema = _SCHEMA.with_metadata(metadata)
    path.parent.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, max(1, len(predictions.ids)), _ROW_GROUP):
            writer.write_table(_table(predictions, slice(start, start + _ROW_GROUP), schema))


def _table(predictions: Predictions, part: slice, schema: pa.Schema) -> pa.Table:
    probabilities = predictions.probabilities[part]
    rows, width = probabilities.shape
    offsets = pa.array(np.arange(rows + 1, dtype=np.int32) * width)
    columns = {
        "id": predictions.ids[part],
        "label": predictions.space.decode(predictions.expected[part]),
        "prediction": predictions.space.decode(predictions.predicted[part]),
        "probabilities": pa.ListArray.from_arrays(offsets, probabilities.astype(np.float32).ravel()),
    }
    return pa.table(columns, schema=schema)


def read_label_space(path: Path) -> LabelSpace:
    """Return the classes of predictions that `write_predictions` wrote, without reading these.

    Raises:
        ValueError: there is no such file, or it holds something else.
    """
    return _label_space(_read(pq.read_schema, path), path)


def read_predictions(path: Path) -> Predictions:
    """Read what `write_predictions` wrote.

    Raises:
        ValueError: there is no such file, or it holds something else.
    """
    table = _read(pq.read_table, path)
    if not table.schema.equals(_SCHEMA):
        raise ValueError(f"{path} does not hold predictions; run `dvc repro --force evaluate`")
    space = _label_space(table.schema, path)
    flat = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in table["probabilities"].chunks]
    return Predictions(
        ids=table["id"].to_pylist(),
        classes=space.classes,
        expected=space.encode(table["label"].to_pylist()),
        probabilities=np.concatenate([np.empty(0, np.float32), *flat]).reshape(
            len(table), len(space.classes)
        ),
    )


def _read(read: Callable[[Path], Any], path: Path) -> Any:
    try:
        return read(path)
    except FileNotFoundError:
        raise ValueError(f"{path} is not here; run `dvc repro evaluate`") from None
    except pa.ArrowInvalid:
        raise ValueError(f"{path} is not a Parquet file; run `dvc repro --force evaluate`") from None


def _label_space(schema: pa.Schema, path: Path) -> LabelSpace:
    metadata = schema.metadata or {}
    if b"classes" not in metadata:
        raise ValueError(f"{path} does not hold predictions; run `dvc repro --force evaluate`")
    return LabelSpace.from_metadata(metadata).with_classes(json.loads(metadata[b"classes"]))
