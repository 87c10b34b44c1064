from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from bertline.metrics.predictions import Predictions
from bertline.rows.labels import LABEL_SEPARATOR, MULTI_LABEL, SINGLE_LABEL, LabelSpace
from bertline.rows.schema import make_rows
from bertline.rows.text_key import add_ids
from bertline.stages.evaluate.mistakes import FILE, list_mistakes, write_mistakes

CLASSES = ("a", "b")


def scored(labels: list[str], probabilities: list[list[float]]) -> tuple[Predictions, pa.Table]:
    several = LABEL_SEPARATOR in "".join(labels)
    space: LabelSpace = (MULTI_LABEL if several else SINGLE_LABEL).with_classes(CLASSES)
    rows = add_ids(make_rows([f"=text {i}" for i in range(len(labels))], labels, source="s.csv"))
    predictions = Predictions(
        ids=rows["id"].to_pylist(),
        classes=CLASSES,
        expected=space.encode(labels),
        probabilities=np.array(probabilities, np.float32),
    )
    return predictions, rows


def test_wrong_rows_come_the_most_confident_first_and_right_ones_not_at_all() -> None:
    predictions, rows = scored(["a", "a", "b", "b"], [[0.4, 0.6], [0.9, 0.1], [0.8, 0.2], [0.1, 0.9]])
    found = list_mistakes(predictions, rows)
    assert found["text"].to_pylist() == ["=text 2", "=text 0"]
    assert found["content_id"].to_pylist() == rows["content_id"].take([2, 0]).to_pylist()
    assert found["prediction"].to_pylist() == ["a", "b"]
    assert found["probability"].to_pylist() == [0.8, 0.6]


def test_of_many_mistakes_the_most_confident_are_kept() -> None:
    predictions, rows = scored(["a"] * 3, [[0.4, 0.6], [0.1, 0.9], [0.3, 0.7]])
    assert list_mistakes(predictions, rows, limit=2)["probability"].to_pylist() == [0.9, 0.7]


def test_a_row_with_several_labels_is_wrong_unless_all_are_right() -> None:
    labels = ["a\x1fb", "a", ""]
    predictions, rows = scored(labels, [[0.9, 0.8], [0.9, 0.7], [0.2, 0.1]])
    [found] = list_mistakes(predictions, rows).to_pylist()
    assert (found["label"], found["prediction"], found["probability"]) == ("a", "a\x1fb", 0.7)


def test_the_file_for_people_is_readable_and_the_other_has_texts_as_they_are(tmp_path: Path) -> None:
    write_mistakes(*scored(["a\x1fb", "a"], [[0.9, 0.1], [0.9, 0.1]]), tmp_path)
    [shown] = pyarrow.csv.read_csv(tmp_path / "mistakes.csv").to_pylist()
    [exact] = pq.read_table(tmp_path / FILE).to_pylist()
    assert (shown["label"], shown["text"]) == ("a; b", "'=text 0")
    assert (exact["label"], exact["text"]) == ("a\x1fb", "=text 0")


def test_two_runs_write_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_mistakes(*scored(["a", "b"], [[0.4, 0.6], [0.6, 0.4]]), tmp_path / name)
    for file in ("mistakes.csv", FILE):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
