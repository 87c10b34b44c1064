import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow.parquet as pq
import pytest

from bertline.evaluation.behaviour import Behaviour, answer_cases, sample_cases
from bertline.evaluation.behaviour_file import read_behaviour
from bertline.models.classifier import Classifier
from bertline.rows.labels import LabelSpace
from bertline.rows.schema import make_rows
from bertline.rows.text_key import add_ids
from bertline.stages.evaluate.behaviour import FILE, write_behaviour
from tests.support.params import SHIPPED, section

PARAMS = section("evaluate", behaviour_rows=3)
ROWS = add_ids(make_rows([f"who wrote {number} letters" for number in range(20, 26)], "HUM"))


class Alone:
    """A model that answers by the number of characters."""

    space = LabelSpace(("HUM", "LOC"))

    def probabilities(self, texts: list[str]) -> np.ndarray:
        first = np.array([len(text) % 7 / 6 for text in texts], np.float32)
        return np.stack([first, 1 - first], axis=1)


class Batched:
    """A model that can only be asked each text alone."""

    space = Alone.space

    def one_by_one(self) -> Alone:
        return Alone()


def _cases() -> Behaviour:
    return sample_cases(ROWS, read_behaviour(SHIPPED / "behaviour.yaml", Alone.space), PARAMS)


def write(folder: Path) -> dict[str, Any]:
    folder.mkdir()
    asked = cast(Classifier, Batched())
    write_behaviour(PARAMS, _cases(), asked, of_rows=len(ROWS), predictions=folder, report=folder)
    document: dict[str, Any] = json.loads((folder / "behaviour.json").read_text(encoding="utf-8"))
    return document


def test_a_sample_of_the_rows_is_changed_and_each_text_is_asked_alone(tmp_path: Path):
    document = write(tmp_path / "one")
    assert (document["rows"], document["of_rows"]) == (3, len(ROWS))
    assert max(test["cases"] for test in document["tests"]) == 3


def test_every_file_is_the_same_bytes_every_time(tmp_path: Path):
    write(tmp_path / "one")
    write(tmp_path / "two")
    for name in (FILE, "behaviour.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_the_saved_answers_are_those_of_the_rows_and_then_of_the_cases(tmp_path: Path):
    write(tmp_path / "one")
    table = pq.read_table(tmp_path / "one" / FILE)
    sample = ROWS.filter([each in set(table["id"].to_pylist()) for each in ROWS["id"].to_pylist()])
    behaviour = _cases()
    assert behaviour.rows == sample
    answers = answer_cases(Alone(), behaviour)
    assert table["text"].to_pylist() == [*sample["text"].to_pylist(), *behaviour.cases["text"].to_pylist()]
    expected = np.concatenate([answers.rows_RC, answers.cases_MC])
    np.testing.assert_array_equal(np.array(table["probabilities"].to_pylist(), np.float32), expected)


def test_the_line_names_the_test_with_most_failures(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    document = write(tmp_path / "one")
    worst = max(document["tests"], key=lambda test: test["failure_rate"] or 0)
    assert f"most failures in {worst['name']}" in capsys.readouterr().out


def test_without_a_failure_no_test_is_called_the_worst(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Same(Alone):
        def probabilities(self, texts: list[str]) -> np.ndarray:
            return np.tile(np.float32([0.75, 0.25]), (len(texts), 1))

    class Asked:
        space = Alone.space

        def one_by_one(self) -> Alone:
            return Same()

    asked = cast(Classifier, Asked())
    write_behaviour(PARAMS, _cases(), asked, of_rows=len(ROWS), predictions=tmp_path, report=tmp_path)
    assert capsys.readouterr().out.endswith("on 3 rows; no failures\n")
