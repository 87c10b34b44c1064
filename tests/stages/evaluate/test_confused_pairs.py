"""Which classes are confused, with examples."""

import numpy as np
import pyarrow as pa
import pytest

from bertline.metrics.predictions import Predictions
from bertline.rows.schema import ROW_SCHEMA
from bertline.stages.evaluate.confused_pairs import EXAMPLES, confused_pairs

CLASSES = ("a", "b", "c")


def table(rows: int) -> pa.Table:
    columns = {name: pa.nulls(rows, ROW_SCHEMA.field(name).type) for name in ROW_SCHEMA.names}
    columns |= {
        "id": pa.array([f"id {i}" for i in range(rows)]),
        "text": pa.array([f"text {i}" for i in range(rows)]),
    }
    return pa.table(columns)


def predictions(expected: list[int], predicted: list[int], sure: list[float]) -> Predictions:
    probabilities = np.array([[(1 - p) / 2] * 3 for p in sure], dtype=np.float32)
    probabilities[np.arange(len(sure)), predicted] = sure
    return Predictions(
        ids=[f"id {i}" for i in range(len(sure))],
        classes=CLASSES,
        expected=np.array(expected),
        probabilities=probabilities,
    )


def test_pairs_come_by_their_rows_with_the_share_of_the_actual_class() -> None:
    found = confused_pairs(predictions([0, 0, 0, 0, 1], [1, 1, 1, 0, 2], [0.8] * 5), table(5))
    shown = [(p["actual"], p["predicted"], p["rows"], p["share_of_actual"]) for p in found["pairs"]]
    assert shown == [("a", "b", 3, 0.75), ("b", "c", 1, 1.0)]


def test_the_pairs_that_are_not_listed_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bertline.stages.evaluate.confused_pairs.PAIRS", 1)
    found = confused_pairs(predictions([0, 0, 1], [1, 1, 2], [0.8] * 3), table(3))
    assert (len(found["pairs"]), found["pairs_found"]) == (1, 2)


def test_the_examples_are_the_most_confident_mistakes() -> None:
    sure = [0.5, 0.9, 0.6, 0.8, 0.7]
    (pair,) = confused_pairs(predictions([0] * 5, [1] * 5, sure), table(5))["pairs"]
    assert [each["id"] for each in pair["examples"]] == ["id 1", "id 3", "id 4"]
    assert len(pair["examples"]) == EXAMPLES
    assert pair["examples"][0]["text"] == "text 1"


def test_rows_with_several_labels_have_no_pairs_and_a_reason() -> None:
    rows = Predictions(
        ids=["1"], classes=CLASSES, expected=np.array([[1, 0, 1]]), probabilities=np.eye(3)[:1]
    )
    found = confused_pairs(rows, table(1))
    assert found["pairs"] == []
    assert found["skipped"]
