import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from bertline.metrics.predictions import Predictions
from bertline.models.classifier import Classifier, Outputs
from bertline.rows.io import inputs
from bertline.rows.labels import MULTI_LABEL, SINGLE_LABEL
from bertline.rows.schema import make_rows
from bertline.rows.text_key import add_ids
from bertline.stages.evaluate.data_checks import FILE, order_of, write_data_checks
from tests.support.params import section
from tests.support.tiny import CLASSES
from tests.support.tiny_model import save_tiny_model

NAMES = ["outliers", "near_duplicates", "underperforming_group", "order"]


def rows_of(n: int, first: int = 0, **columns: object) -> pa.Table:
    texts = [f"what is thing {i} of {i % 7}" for i in range(first, first + n)]
    return add_ids(make_rows(texts, [CLASSES[i % len(CLASSES)] for i in range(n)], **columns))


@pytest.fixture(scope="module")
def classifier(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    return Classifier(save_tiny_model(tmp_path_factory.mktemp("model"), tiny_encoder))


def write(
    classifier: Classifier, rows: pa.Table, report: Path, *, states: bool = True, several: bool = False
) -> dict[str, Any]:
    outputs = classifier.outputs(inputs(rows))
    space = (MULTI_LABEL if several else SINGLE_LABEL).with_classes(CLASSES)
    candidate = Predictions(
        ids=rows["id"].to_pylist(),
        classes=space.classes,
        expected=space.encode(rows["label"].to_pylist()),
        probabilities=classifier.to_probabilities(outputs.logits),
    )
    kept = outputs if states else Outputs(outputs.logits, None)
    report.mkdir(exist_ok=True)
    params = section("evaluate", threads=1)
    write_data_checks(params, rows, candidate, kept, classifier, rows_of(120, 1000), report)
    found: dict[str, Any] = json.loads((report / FILE).read_text())
    return found


def test_every_check_is_there_once_and_two_runs_write_the_same_bytes(
    classifier: Classifier, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = write(classifier, rows_of(60), tmp_path / "one")
    write(classifier, rows_of(60), tmp_path / "two")
    assert [each["name"] for each in found["checks"]] == NAMES
    assert [each["skipped"] is None for each in found["checks"]] == [True, True, True, False]
    assert (tmp_path / "one" / FILE).read_bytes() == (tmp_path / "two" / FILE).read_bytes()
    assert "checks of the data: outliers " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("rows", "states", "reason"), [(60, False, "gives no states"), (20, True, "20 test rows; 50 are needed")]
)
def test_what_cannot_be_checked_is_skipped_with_a_reason(
    classifier: Classifier, rows: int, states: bool, reason: str, tmp_path: Path
) -> None:
    found = write(classifier, rows_of(rows), tmp_path, states=states)
    assert [each["name"] for each in found["checks"]] == NAMES
    assert all(reason in each["skipped"] for each in found["checks"])


def test_rows_with_several_labels_are_checked_too(classifier: Classifier, tmp_path: Path) -> None:
    found = write(classifier, rows_of(60), tmp_path, several=True)
    assert [each["skipped"] is None for each in found["checks"]] == [True, True, True, False]


def test_the_order_is_that_of_time_else_of_delivery_else_there_is_none() -> None:
    days = [datetime(2026, 1, 1 + i % 5, tzinfo=UTC) for i in range(20)]
    places, what = order_of(rows_of(20, timestamp=days))
    assert (what, np.array(days)[places].tolist()) == ("time", sorted(days))
    weeks = [f"week {i % 2}" for i in range(20)]
    places, what = order_of(rows_of(20, batch=weeks))
    assert (what, np.array(weeks)[places].tolist()) == ("delivery", sorted(weeks))
    assert order_of(rows_of(20))[0] is None
