import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bertline.metrics.predictions import (
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


@pytest.fixture
def label_sets() -> Predictions:
    """No label, one, two, all."""
    return Predictions(
        ids=["a", "b", "c", "d"],
        classes=("HUM", "LOC", "NUM"),
        expected=np.array([[0, 0, 0], [0, 1, 0], [1, 0, 1], [1, 1, 1]], dtype=np.uint8),
        probabilities=np.array(
            [[0.1, 0.2, 0.49], [0.1, 0.5, 0.2], [0.9, 0.6, 0.7], [1, 0.5, 0.9]], dtype=np.float32
        ),
    )


def test_the_shape_of_the_expected_labels_says_what_they_are(
    predictions: Predictions, label_sets: Predictions
):
    assert not predictions.multi_label
    assert label_sets.multi_label
    assert label_sets.predicted.tolist() == [[0, 0, 0], [0, 1, 0], [1, 1, 1], [1, 1, 1]]
    assert label_sets.right.tolist() == [True, True, False, True]
    assert predictions.right.tolist() == (predictions.predicted == predictions.expected).tolist()


def test_label_sets_read_back_to_the_same_bits(label_sets: Predictions, tmp_path: Path):
    write_predictions(label_sets, tmp_path / "p.parquet")
    back = read_predictions(tmp_path / "p.parquet")
    assert (back.ids, back.classes, back.multi_label) == (label_sets.ids, label_sets.classes, True)
    assert (back.expected.dtype, back.probabilities.dtype) == (np.uint8, np.float32)
    assert back.expected.tobytes() == label_sets.expected.tobytes()
    assert back.probabilities.tobytes() == label_sets.probabilities.tobytes()


def test_label_sets_are_written_as_in_a_table_of_rows(label_sets: Predictions, tmp_path: Path):
    write_predictions(label_sets, tmp_path / "p.parquet")
    table = pq.read_table(tmp_path / "p.parquet")
    assert table["label"].to_pylist() == ["", "LOC", "HUM\x1fNUM", "HUM\x1fLOC\x1fNUM"]
    assert table["prediction"].to_pylist() == ["", "LOC", *["HUM\x1fLOC\x1fNUM"] * 2]


def test_encoding_undoes_decoding(predictions: Predictions, label_sets: Predictions):
    for each in (predictions, label_sets):
        labels = each.space.decode(each.expected)
        found = each.space.encode(labels)
        assert found.tolist() == each.expected.tolist()
        with pytest.raises(KeyError, match="ODD"):
            each.space.encode(["ODD"])


@pytest.mark.parametrize("fixture", ["predictions", "label_sets"])
def test_more_classes_change_neither_labels_nor_answers(fixture: str, request: pytest.FixtureRequest):
    before = request.getfixturevalue(fixture)
    after = before.over(("ABBR", "HUM", "LOC", "MISC", "NUM"))
    check_same_rows(before, after)
    assert after.space.decode(after.predicted) == before.space.decode(before.predicted)
    assert (after.probabilities[:, [0, 3]] == 0).all()


def test_label_sets_that_differ_are_refused(label_sets: Predictions):
    expected = label_sets.expected.copy()
    expected[0, 0] = 1
    with pytest.raises(ValueError, match="different labels"):
        check_same_rows(label_sets, dataclasses.replace(label_sets, expected=expected))


def test_a_single_label_is_not_the_same_as_a_set_of_one(predictions: Predictions):
    one_hot = np.eye(3, dtype=np.uint8)[predictions.expected]
    with pytest.raises(ValueError, match="different labels"):
        check_same_rows(predictions, dataclasses.replace(predictions, expected=one_hot))
