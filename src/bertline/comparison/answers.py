"""A model's answers to today's test rows, and to the changed texts of the behavioural tests.

Guarantees: the rows in the order of the table, as in the candidate's predictions. A row whose label the model
does not know counts against it.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bertline.comparison.fairness import Reading
from bertline.comparison.sides import Side
from bertline.core.params_loading import PARAMS_FILE, load_params
from bertline.evaluation.behaviour import Behaviour, CaseAnswers, answer_cases
from bertline.metrics.predict import predict
from bertline.metrics.predictions import Predictions, read_predictions
from bertline.params.evaluate import Params
from bertline.project.layout import CANDIDATE_CASES, CANDIDATE_PREDICTIONS, TEST_ROWS
from bertline.registry.registry import Registry
from bertline.registry.tags import NAME
from bertline.registry.versions import CHAMPION, Version
from bertline.rows.io import read_label_space, read_rows
from bertline.rows.labels import LabelSpace, in_scope


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """What one model answers, and what its folder says of it."""

    predictions: Predictions
    cases: CaseAnswers
    reading: Reading


def answers_of(
    side: Side, behaviour: Behaviour, params: Params, *, predictions: Predictions | None = None
) -> Answers:
    """Return the answers of the model of `side`; `predictions` are those for the rows, if they are known.

    Raises:
        ValueError: the model cannot be had, or cannot read these rows; the message has the next command.
    """
    with side.folder() as folder:
        reading = Reading.of(folder)
        cases = None
        if side.kind == "candidate":  # the stage has scored it
            predictions = read_predictions(side.root / CANDIDATE_PREDICTIONS)
            cases = _read_cases(side.root / CANDIDATE_CASES, behaviour, reading.space)
        if predictions is None:
            predictions = predict_test_rows(folder, side.root / TEST_ROWS, params)
        if cases is None:
            from bertline.models.classifier import Classifier  # as in `predict_test_rows`

            model = Classifier(folder, threads=params.threads, batch_size=params.batch_size)
            if reading.exported:  # torch answers in float32: a batch changes nothing, and is quicker
                model = model.one_by_one()
            cases = replace(answer_cases(model, behaviour), space=reading.space)
    return Answers(predictions=predictions, cases=cases, reading=reading)


def _read_cases(path: Path, behaviour: Behaviour, space: LabelSpace) -> CaseAnswers | None:
    """Return what the stage `evaluate` saved; None if it asked other texts: behaviour.yaml has changed."""
    if not path.is_file():
        return None
    table = pq.read_table(path)
    columns = ["text", "text_pair"]
    asked = pa.concat_tables([behaviour.rows.select(columns), behaviour.cases.select(columns)])
    if not set(columns) <= set(table.column_names) or not table.select(columns).equals(asked):
        return None
    flat = table["probabilities"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return CaseAnswers(space, *np.split(flat.reshape(len(table), -1), [len(behaviour.rows)]))


def predict_test_rows(model: Path, rows: Path, params: Params) -> Predictions:
    """Return the predictions of the model folder `model` for the rows in scope of the table `rows`.

    Raises:
        ValueError: one of them cannot be read.
    """
    from bertline.models.classifier import Classifier  # six seconds of a core, and the first model needs none

    table = in_scope(read_rows(rows))
    classifier = Classifier(model, threads=params.threads, batch_size=params.batch_size)
    return predict(classifier, table, read_label_space(rows), unknown_labels="count_as_wrong")


def champion_predictions(root: Path, registry: Registry, champion: Version) -> Predictions:
    """Return the predictions of `champion` for today's test rows.

    Raises:
        ValueError: its model cannot be had, or cannot read these rows; the message has the next command.
    """
    params = load_params(Params, root / PARAMS_FILE)
    model = registry.fetch(champion)
    try:
        return predict_test_rows(model, root / TEST_ROWS, params)
    except ValueError as error:  # rows of another kind, e.g. pairs
        raise ValueError(
            f"the champion {champion.name} cannot read today's test rows ({error}); roll back to another: "
            f"bertline rollback VERSION; or do without: gto deprecate {NAME} {champion.name} {CHAMPION}"
        ) from error
