import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bertline.evaluation.predictions import (
    Predictions,
    align,
    check_same_rows,
    read_predictions,
    write_predictions,
)


@pytest.fixture
def predictions() -> Predictions:
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), size=4).astype(np.float32)
    return Predictions(
        ids=["a", "b", "c", "d"],
        classes=("HUM", "LOC", "NUM"),
        expected=np.array([0, 2, 1, 1]),
        probabilities=probabilities,
    )


def test_a_file_reads_back_to_the_same_bits(predictions: Predictions, tmp_path: Path):
    write_predictions(predictions, tmp_path / "new" / "p.parquet")
    back = read_predictions(tmp_path / "new" / "p.parquet")
    assert (back.ids, back.classes) == (predictions.ids, predictions.classes)
    assert back.expected.tolist() == predictions.expected.tolist()
    assert back.probabilities.dtype == np.float32
    assert back.probabilities.tobytes() == predictions.probabilities.tobytes()


def test_the_same_predictions_are_the_same_bytes(predictions: Predictions, tmp_path: Path):
    write_predictions(predictions, tmp_path / "one.parquet")
    write_predictions(predictions, tmp_path / "two.parquet")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def test_labels_and_predictions_can_be_read_by_name(predictions: Predictions, tmp_path: Path):
    write_predictions(predictions, tmp_path / "p.parquet")
    table = pq.read_table(tmp_path / "p.parquet")
    assert table["label"].to_pylist() == ["HUM", "NUM", "LOC", "LOC"]
    assert table["prediction"].to_pylist() == [predictions.classes[i] for i in predictions.predicted]


def test_a_class_without_rows_survives_the_file(predictions: Predictions, tmp_path: Path):
    expected = np.zeros(4, dtype=np.int64)
    write_predictions(dataclasses.replace(predictions, expected=expected), tmp_path / "p.parquet")
    assert read_predictions(tmp_path / "p.parquet").classes == ("HUM", "LOC", "NUM")


def test_aligning_moves_each_class_to_its_new_place_and_adds_zeros():
    aligned = align(np.array([[0.25, 0.75]], dtype=np.float32), ("a", "c"), ("a", "b", "c"))
    assert aligned.tolist() == [[0.25, 0.0, 0.75]]


def test_aligning_refuses_to_drop_a_class():
    with pytest.raises(ValueError, match="'z', which is not among a, b"):
        align(np.ones((1, 2), dtype=np.float32), ("a", "z"), ("a", "b"))


@pytest.mark.parametrize("ids", [["a", "b", "c", "e"], ["b", "a", "c", "d"]])
def test_predictions_of_other_rows_are_refused(predictions: Predictions, ids: list[str]):
    with pytest.raises(ValueError, match="dvc repro evaluate"):
        check_same_rows(predictions, dataclasses.replace(predictions, ids=ids))


def test_predictions_that_expect_other_labels_are_refused(predictions: Predictions):
    other = dataclasses.replace(predictions, expected=np.array([0, 2, 1, 0]))
    with pytest.raises(ValueError, match="different labels"):
        check_same_rows(predictions, other)


def test_a_model_with_more_classes_may_speak_of_the_same_rows(predictions: Predictions):
    wider = Predictions(
        ids=predictions.ids,
        classes=("ABBR", *predictions.classes),
        expected=predictions.expected + 1,
        probabilities=np.ones((4, 4), dtype=np.float32),
    )
    check_same_rows(predictions, wider)


def test_a_missing_file_names_the_next_command(tmp_path: Path):
    with pytest.raises(ValueError, match=r"nothing\.parquet is not here; run `dvc repro evaluate`"):
        read_predictions(tmp_path / "nothing.parquet")


def test_a_file_of_something_else_is_refused(tmp_path: Path):
    (tmp_path / "text.parquet").write_text("hello", encoding="utf-8")
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "table.parquet")
    with pytest.raises(ValueError, match="not a Parquet file"):
        read_predictions(tmp_path / "text.parquet")
    with pytest.raises(ValueError, match="does not hold predictions"):
        read_predictions(tmp_path / "table.parquet")
