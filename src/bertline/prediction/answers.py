"""The texts that a model reads of a table, and the columns that its answers add.

| column | value |
|---|---|
| `prediction` | the label; with several labels a row, the list of those from 0.5 on, most probable first |
| `probability` | how probable the answer is; with several labels, its least sure decision |
| `probabilities` | a struct: the probability of each class, by its name |
| `out_of_scope` | the out-of-scope score |
| `refused` | `out_of_scope` or `not_sure` where the thresholds of the model refuse the row |
| `version` | the registered version, or the folder of the model |

All but `version` are null for a row without a text. Shape suffixes: N rows, C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from bertline.metrics.classification import THRESHOLD
from bertline.models.abstention import answer_probability, reasons
from bertline.models.classifier import Answers, Classifier
from bertline.rows.labels import LabelSpace

COLUMNS = ("prediction", "probability", "probabilities", "out_of_scope", "refused", "version")

Input = str | tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class TextColumns:
    """The columns that make up a text, and the second text of a pair; several are joined by line breaks."""

    text: tuple[str, ...]
    pair: tuple[str, ...] = ()


def read_inputs(rows: pa.Table, columns: TextColumns) -> list[Input | None]:
    """Return what the model reads of each row; None where a text is missing or blank."""
    texts = _join(rows, columns.text)
    if not columns.pair:
        return [*texts]
    pairs = zip(texts, _join(rows, columns.pair), strict=True)
    return [None if text is None or pair is None else (text, pair) for text, pair in pairs]


def _join(rows: pa.Table, names: Sequence[str]) -> list[str | None]:
    """Return the texts of some columns, joined as `ingest` does; None where all are blank."""
    values = zip(*(rows[name].to_pylist() for name in names), strict=True)
    joined = (value[0] if len(names) == 1 else "\n".join(filter(_is_text, value)) for value in values)
    return [text if _is_text(text) else None for text in joined]


def _is_text(value: str | None) -> bool:
    return bool(value and value.strip())


def add_answers(
    rows: pa.Table, inputs: Sequence[Input | None], classifier: Classifier, *, version: str, abstain: bool
) -> pa.Table:
    """Return `rows` with the columns that the module names, in the same order.

    Args:
        rows: of the input file.
        inputs: what the model reads of each row.
        classifier: the model.
        version: its name.
        abstain: whether `prediction` is null where the row is refused.
    """
    given = [each for each in inputs if each is not None]
    answers = classifier.answers(given) if given else _none(len(classifier.space.classes))
    places = iter(range(len(given)))
    rows_N = pa.array([None if each is None else next(places) for each in inputs], pa.int64())
    for name, values in _arrays(answers, classifier.space, abstain=abstain).items():
        rows = rows.append_column(name, values.take(rows_N))
    return rows.append_column("version", pa.array([version] * len(rows), pa.string()))


def _arrays(answers: Answers, space: LabelSpace, *, abstain: bool) -> dict[str, pa.Array]:
    probabilities_NC = answers.probabilities
    sure_N = answer_probability(probabilities_NC, multi_label=space.multi_label)
    labels: Sequence[object] = _labels(probabilities_NC, space)
    refused = reasons(answers.refused)
    if abstain:
        labels = [None if why else label for label, why in zip(labels, refused, strict=True)]
    by_class = [pa.array(np.ascontiguousarray(each), pa.float32()) for each in probabilities_NC.T]
    return {
        "prediction": pa.array(labels, pa.list_(pa.string()) if space.multi_label else pa.string()),
        "probability": pa.array(sure_N, pa.float32()),
        "probabilities": pa.StructArray.from_arrays(by_class, space.classes),
        "out_of_scope": pa.array(answers.out_of_scope, pa.float32()),
        "refused": pa.array(refused, pa.string()),
    }


def _labels(probabilities_NC: np.ndarray, space: LabelSpace) -> list[str] | list[list[str]]:
    if not space.multi_label:
        return [space.classes[each] for each in probabilities_NC.argmax(axis=1)]
    ranked_NC = np.argsort(-probabilities_NC, axis=1, kind="stable")
    return [
        [space.classes[i] for i in ranked if row[i] >= THRESHOLD]
        for row, ranked in zip(probabilities_NC, ranked_NC, strict=True)
    ]


def _none(classes: int) -> Answers:
    return Answers(np.empty((0, classes), np.float32), np.empty(0, np.float32), np.empty(0, np.int64))
