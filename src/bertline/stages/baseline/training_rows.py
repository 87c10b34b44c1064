"""The training rows as a fit needs them: labels, folds and random numbers in memory, texts read in parts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from bertline.metrics.classification import Targets
from bertline.models.tfidf import READ_AT_ONCE
from bertline.rows.io import inputs, read_chunks_in_scope, read_label_space
from bertline.rows.labels import LabelSpace


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingRows:
    """The N rows in scope of a table of training rows; some 200 bytes a row are in memory.

    The classes of `space` are sorted, and `expected` is what it encodes the labels to. A row's fold and
    its number in [0, 1) depend on its content id alone: equal texts share both, in any order of the rows.
    """

    path: Path
    ids: list[str]
    space: LabelSpace
    expected: Targets
    fold_N: npt.NDArray[np.int64]
    draw_N: npt.NDArray[np.float64]
    characters: int

    def texts(self) -> Iterator[tuple[slice, list[str | tuple[str, str]]]]:
        """Yield the inputs of all rows, `READ_AT_ONCE` at a time, and where they stand."""
        start = 0
        for chunk in read_chunks_in_scope(self.path, ["text", "text_pair"]):
            read = inputs(chunk)
            for first in range(0, len(read), READ_AT_ONCE):
                part = read[first : first + READ_AT_ONCE]
                yield slice(start, start + len(part)), part
                start += len(part)


def read_training_rows(path: Path, folds: int) -> TrainingRows:
    """Read the rows in scope of the table at `path`; each row belongs to one of `folds` folds.

    Raises:
        ValueError: the file cannot be read, or its rows have fewer than two different labels.
    """
    space = read_label_space(path)
    found: set[str] = set()
    for chunk in read_chunks_in_scope(path, ["label"]):
        found.update(space.count(chunk))
    space = space.with_classes(found)
    require_two(space.classes)
    ids: list[str] = []
    columns: dict[str, list[np.ndarray]] = {"expected": [], "fold": [], "draw": []}
    characters = 0
    for chunk in read_chunks_in_scope(path, ["id", "content_id", "text", "text_pair", "label"]):
        ids += chunk["id"].to_pylist()
        keys = chunk["content_id"].to_pylist()
        columns["fold"].append(folds_of(keys, folds))
        columns["draw"].append(np.array([int(key[:8], 16) / 2**32 for key in keys]))
        columns["expected"].append(space.encode(chunk["label"].to_pylist()))
        lengths = (pc.sum(pc.utf8_length(chunk[name])).as_py() or 0 for name in ("text", "text_pair"))
        characters += sum(lengths)
    joined = {name: np.concatenate(parts) for name, parts in columns.items()}
    return TrainingRows(
        path=path,
        ids=ids,
        space=space,
        expected=joined["expected"],
        fold_N=joined["fold"],
        draw_N=joined["draw"],
        characters=characters,
    )


def folds_of(content_ids: Sequence[str], folds: int) -> npt.NDArray[np.int64]:
    """Return the fold of each row [N]: rows of the same content share it."""
    return np.array([int(content_id, 16) % folds for content_id in content_ids], dtype=np.int64)


def require_two(classes: Sequence[str]) -> None:
    """Raise a ValueError unless there are two labels to tell apart."""
    if len(classes) < 2:
        found = f"only the label {classes[0]!r}" if classes else "no label"
        raise ValueError(f"the training rows have {found}; at least two are needed")
