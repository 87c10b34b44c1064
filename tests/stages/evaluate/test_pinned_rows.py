import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from bertline.evaluation.pins import PinnedRow, read_pinned_rows, write_pinned_rows
from bertline.metrics.intervals import share_interval
from bertline.metrics.predictions import Predictions
from bertline.metrics.rounding import rounded
from bertline.rows.io import write_rows
from bertline.rows.labels import MULTI_LABEL
from bertline.rows.schema import make_rows
from bertline.rows.text_key import add_ids, content_id
from bertline.stages.evaluate.pinned_rows import score_pinned_rows, write_pinned_score
from tests.support.params import SHIPPED, section

HEADER = "content_id,label,note\n"
CLASSES = ("a", "b")


def rows_of(texts: list[str], labels: list[str]) -> pa.Table:
    return add_ids(make_rows(texts, labels))


def predicted(rows: pa.Table, answers: list[str]) -> Predictions:
    columns = [CLASSES.index(answer) for answer in answers]
    expected = np.array([CLASSES.index(label) for label in rows["label"].to_pylist()])
    ids = rows["id"].to_pylist()
    probabilities = np.eye(2, dtype=np.float32)[columns]
    return Predictions(ids=ids, classes=CLASSES, expected=expected, probabilities=probabilities)


def pins(**labels: str) -> dict[str, PinnedRow]:
    """Pinned rows by their text, one word, and label."""
    rows = [
        PinnedRow(content_id=content_id(text) or "", label=label, note="") for text, label in labels.items()
    ]
    return {row.content_id: row for row in rows}


TEST = rows_of(["one", "two", "three"], ["a", "b", "b"])
ANSWERS = predicted(TEST, ["a", "a", "b"])


def test_the_file_of_a_new_project_holds_no_pinned_row() -> None:
    assert read_pinned_rows(SHIPPED / "data/pinned_rows.csv") == {}


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    pinned = pins(one="a", two='two  spaces, and a "quote"')
    write_pinned_rows(tmp_path / "pinned.csv", pinned)
    assert read_pinned_rows(tmp_path / "pinned.csv") == pinned


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,label\n", "has columns id, label; expected content_id, label, note"),
        (f"{HEADER}12,a,\n", "line 2: content_id is '12'; expected the 32 hex digits of a row's content_id"),
        (f"{HEADER}{'0' * 32},a,\n{'0' * 32},b,\n", f"line 3: row {'0' * 32} has a line above"),
    ],
)
def test_a_malformed_file_is_one_clear_error(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "pinned.csv").write_text(content)
    with pytest.raises(ValueError, match=re.escape(message)):
        read_pinned_rows(tmp_path / "pinned.csv")


def test_pinned_rows_are_scored_against_the_pinned_label_with_an_interval() -> None:
    found = score_pinned_rows(pins(one="b", two="a", three="b"), ANSWERS, TEST, {}, 0.95)
    interval = share_interval(np.array([True, True, False]), 0.95)
    assert (found["pinned"], found["scored"], found["right"]) == (3, 3, 2)
    assert (found["accuracy"], found["accuracy_low"]) == (interval.value, interval.low)
    [wrong] = found["wrong"]
    assert (wrong["content_id"], wrong["label"]) == (content_id("one"), "b")
    assert (wrong["prediction"], wrong["text"]) == ("a", "one")


def test_a_row_that_lies_elsewhere_or_nowhere_is_named_with_the_reason_and_not_scored(tmp_path: Path) -> None:
    write_rows(rows_of(["Four"], ["a"]), tmp_path / "train.parquet")
    elsewhere = {"it lies in the training split": tmp_path / "train.parquet"}
    found = score_pinned_rows(pins(one="a", four="a", five="a"), ANSWERS, TEST, elsewhere, 0.95)
    assert (found["pinned"], found["scored"], found["right"]) == (3, 1, 1)
    reasons = {row["content_id"]: row["reason"] for row in found["not_scored"]}
    assert reasons[content_id("four")] == "it lies in the training split"
    assert reasons[content_id("five")].startswith("it is in no split any more")


def test_a_row_pinned_to_a_class_that_is_gone_is_not_scored() -> None:
    found = score_pinned_rows(pins(one="c"), ANSWERS, TEST, {}, 0.95)
    assert found["not_scored"][0]["reason"] == "'c' is no class; there are: a, b"
    assert (found["scored"], found["accuracy"]) == (0, None)


def test_all_rows_with_the_pinned_text_must_be_right() -> None:
    rows = rows_of(["one", "One"], ["a", "b"])
    found = score_pinned_rows(pins(one="a"), predicted(rows, ["a", "b"]), rows, {}, 0.95)
    assert (found["scored"], found["right"], found["wrong"][0]["text"]) == (1, 0, "One")


@pytest.mark.parametrize(("label", "right"), [("b; a", 1), ("a", 0)])
def test_with_several_labels_a_row_all_must_be_right(label: str, right: int) -> None:
    rows = rows_of(["one"], ["a"])
    predictions = Predictions(
        ids=rows["id"].to_pylist(),
        classes=CLASSES,
        expected=MULTI_LABEL.with_classes(CLASSES).encode(["a"]),
        probabilities=np.array([[0.9, 0.8]], np.float32),
    )
    assert score_pinned_rows(pins(one=label), predictions, rows, {}, 0.95)["right"] == right


def test_the_file_has_the_score_and_the_printed_line_counts_its_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params = section("evaluate")
    write_pinned_score(params, {}, ANSWERS, TEST, {}, tmp_path)
    assert capsys.readouterr().out == ""
    pinned = pins(one="b", two="a", five="a")
    write_pinned_score(params, pinned, ANSWERS, TEST, {}, tmp_path)
    found = json.loads((tmp_path / "pinned.json").read_text())
    assert found == rounded(score_pinned_rows(pinned, ANSWERS, TEST, {}, params.confidence))
    line = "pinned rows: 1 of 2 are right; 1 more cannot be scored, see `bertline mistakes pinned`\n"
    assert capsys.readouterr().out == line
