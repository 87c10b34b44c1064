"""The champion on today's test rows: its predictions, and whether they are a fair comparison.

Guarantees: the rows in the order of the table, as in the candidate's predictions. A row whose label the
champion does not know counts against it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bertline.core.params_loading import PARAMS_FILE, load_params, read_document
from bertline.metrics.predict import predict
from bertline.metrics.predictions import Predictions
from bertline.params.evaluate import Params
from bertline.project.layout import TEST_ROWS
from bertline.registry.registry import Registry
from bertline.registry.tags import NAME
from bertline.registry.versions import CHAMPION, Version
from bertline.rows.io import read_label_space, read_rows
from bertline.rows.labels import in_scope


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


def has_same_split(root: Path, registry: Registry, champion: Version) -> bool:
    """Return whether the champion was trained with the params that choose today's test rows."""
    return _split_params(registry.params(champion)) == _split_params(read_document(root / PARAMS_FILE))


def _split_params(params: Mapping[str, Any]) -> list[object]:
    """Return the params that decide which rows are test rows."""
    ingest = params.get("ingest") or {}
    return [params.get("split"), ingest.get("validation_source"), ingest.get("test_source")]
