"""What a model said about the test rows: the file between `evaluate` and the promotion.

Guarantees: rows keep their order, classes are sorted, a file reads back to the same bits.
Does not guarantee that two files speak of the same rows: `check_same_rows` does.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

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
    """Class probabilities of N rows over C classes, and the class each row was expected to have."""

    ids: list[str]  # [N]
    classes: tuple[str, ...]  # [C], sorted
    expected: npt.NDArray[np.int64]  # [N], indices into classes
    probabilities: npt.NDArray[np.float32]  # [N, C]

    def __post_init__(self) -> None:
        rows = len(self.ids)
        assert list(self.classes) == sorted(set(self.classes)), self.classes
        assert self.expected.shape == (rows,), self.expected.shape
        assert self.probabilities.shape == (rows, len(self.classes)), self.probabilities.shape

    @property
    def predicted(self) -> npt.NDArray[np.int64]:
        """The most probable class of each row [N]; of equal ones, the first."""
        return np.asarray(self.probabilities.argmax(axis=1))


def align(
    probabilities: npt.NDArray[np.float32], from_labels: Sequence[str], to_labels: Sequence[str]
) -> npt.NDArray[np.float32]:
    """Return `probabilities` [N, from] as [N, to]: a class the model does not know has probability 0.

    Raises:
        ValueError: `to_labels` lacks a class of the model. Dropping its column would turn the row's answer
            into another one, so compare two models over the union of their labels.

    """
    missing = sorted(set(from_labels) - set(to_labels))
    if missing:
        raise ValueError(f"the model predicts {missing[0]!r}, which is not among {', '.join(to_labels)}")
    aligned = np.zeros((len(probabilities), len(to_labels)), dtype=np.float32)
    aligned[:, [list(to_labels).index(label) for label in from_labels]] = probabilities
    return aligned


def check_same_rows(a: Predictions, b: Predictions) -> None:
    """Raise a ValueError unless `a` and `b` are of the same rows, in one order, with the same labels."""
    if a.ids != b.ids:
        shared = len(set(a.ids) & set(b.ids))
        raise ValueError(
            f"the predictions are of different rows ({len(a.ids)} and {len(b.ids)}, {shared} in common)"
            " or in another order; run `dvc repro evaluate`"
        )
    if [a.classes[i] for i in a.expected] != [b.classes[i] for i in b.expected]:
        raise ValueError("the predictions expect different labels of the same rows; run `dvc repro evaluate`")


def write_predictions(predictions: Predictions, path: Path) -> None:
    """Write `predictions` as Parquet; the classes are in the schema's metadata, as JSON."""
    classes = np.array(predictions.classes, dtype=object)
    rows, width = predictions.probabilities.shape
    offsets = pa.array(np.arange(rows + 1, dtype=np.int32) * width)
    table = pa.table(
        {
            "id": predictions.ids,
            "label": classes[predictions.expected],
            "prediction": classes[predictions.predicted],
            "probabilities": pa.ListArray.from_arrays(
                offsets, predictions.probabilities.astype(np.float32).ravel()
            ),
        },
        schema=_SCHEMA.with_metadata({"classes": json.dumps(predictions.classes)}),
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
    index = {label: i for i, label in enumerate(classes)}
    flat = table["probabilities"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return Predictions(
        ids=table["id"].to_pylist(),
        classes=classes,
        expected=np.array([index[label] for label in table["label"].to_pylist()], dtype=np.int64),
        probabilities=flat.reshape(table.num_rows, len(classes)),
    )
