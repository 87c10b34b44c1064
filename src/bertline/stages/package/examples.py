"""Typical training texts of each label, for the model card.

A text is typical where the baseline, which was not fitted to it, finds its label most probable. So a text
with a wrong label is hardly shown. Guarantees: the same rows give the same texts; memory grows with the
classes, not with the rows.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bertline.reporting.environment import cut
from bertline.rows.io import read_chunks_in_scope, read_label_space
from bertline.rows.labels import LabelSpace
from bertline.rows.schema import CHUNK

CHARACTERS = 120  # of an example; shorter texts come first, longer ones are cut

_Found = list[tuple[float, str]]


def typical_texts(
    train: Path, out_of_fold: Path, classes: tuple[str, ...], count: int
) -> Mapping[str, list[str]]:
    """Return at most `count` texts of each class, the most typical first.

    Args:
        train: the table of the training rows.
        out_of_fold: the folder of the baseline's predictions for those in scope, in the same order.
        classes: sorted.
        count: 0 reads nothing.

    Raises:
        ValueError: a file cannot be read, or the predictions are not of these rows.
    """
    best: dict[str, _Found] = {label: [] for label in classes}
    if not count:
        return {label: [] for label in classes}
    space = read_label_space(train).with_classes(classes)
    rows = _Rows(train)
    for batch in _predictions(out_of_fold / "train.parquet"):
        texts, labels = rows.take(batch["id"])
        probabilities = batch["probabilities"].combine_chunks().flatten().to_numpy()
        _add(best, space, texts, labels, probabilities.reshape(len(texts), len(classes)), count)
    return {label: [cut(text, CHARACTERS) for _, text in found] for label, found in best.items()}


class _Rows:
    """The training rows in scope, handed out in order."""

    def __init__(self, train: Path) -> None:
        self._chunks = read_chunks_in_scope(train, ["id", "text", "text_pair", "label"])
        self._rest: pa.Table | None = None

    def take(self, ids: pa.ChunkedArray) -> tuple[pa.ChunkedArray, list[str]]:
        """Return the shown texts and the labels of the next rows, whose `ids` are known."""
        parts = [self._rest] if self._rest is not None else []
        while sum(map(len, parts)) < len(ids) and (chunk := next(self._chunks, None)) is not None:
            parts.append(chunk)
        rows = pa.concat_tables(parts) if parts else None
        if rows is None or not rows["id"].slice(0, len(ids)).equals(ids):
            raise ValueError(
                "data/out_of_fold is of other rows than data/splits; run: dvc repro --force baseline"
            )
        self._rest, now = rows.slice(len(ids)), rows.slice(0, len(ids))
        texts = pc.if_else(
            pc.is_null(now["text_pair"]),
            now["text"],
            pc.binary_join_element_wise(now["text"], pc.fill_null(now["text_pair"], ""), " / "),
        )
        return texts, now["label"].to_pylist()


def _predictions(path: Path) -> Iterator[pa.Table]:
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            for batch in file.iter_batches(CHUNK, columns=["id", "probabilities"]):
                yield pa.Table.from_batches([batch])
    except FileNotFoundError:
        raise ValueError(f"{path} is not here; run: dvc repro baseline") from None


def _add(
    best: dict[str, _Found],
    space: LabelSpace,
    texts: pa.ChunkedArray,
    labels: list[str],
    probabilities_NC: npt.NDArray[np.float32],
    count: int,
) -> None:
    """Put the most typical of N rows among the `best` of each class."""
    short_N = pc.less_equal(pc.utf8_length(texts), CHARACTERS).to_numpy(zero_copy_only=False)
    targets = space.encode(labels)
    for column, label in enumerate(space.classes):
        members = np.flatnonzero(targets[:, column] if space.multi_label else targets == column)
        scores = probabilities_NC[members, column].round(4).astype(np.float64) + short_N[members]
        chosen = np.argsort(-scores, kind="stable")[: 4 * count]  # some may be the same text
        shown = [texts[int(members[each])].as_py() for each in chosen]
        found = [*best[label], *zip(scores[chosen].tolist(), shown, strict=True)]
        distinct: dict[str, float] = {}
        for score, text in sorted(found, key=lambda each: -each[0]):
            distinct.setdefault(text, score)
        best[label] = [(score, text) for text, score in distinct.items()][:count]
