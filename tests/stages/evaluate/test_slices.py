import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from bertline.evaluation.slice_rules import Rule
from bertline.evaluation.slices import slices_of
from bertline.metrics.predictions import Predictions
from bertline.rows.schema import make_rows
from bertline.rows.text_key import add_ids
from bertline.stages.evaluate.slices import write_slices
from tests.support.params import section

ROWS = 1200
RULES = [Rule("asks why", "text LIKE 'why%'")]


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    texts = [f"{'why' if i % 10 == 0 else 'what'} is thing {i}" for i in range(ROWS)]
    return add_ids(make_rows(texts, ["a", "b"] * (ROWS // 2)))


def _predictions(rows: pa.Table) -> Predictions:
    """Predictions that are wrong on half of the texts with "why", and on a twentieth of the others."""
    why = np.array([text.startswith("why") for text in rows["text"].to_pylist()])
    wrong = np.random.default_rng(0).random(ROWS) < np.where(why, 0.5, 0.05)
    expected = np.arange(ROWS) % 2
    predicted = np.where(wrong, 1 - expected, expected)
    return Predictions(
        ids=rows["id"].to_pylist(),
        classes=("a", "b"),
        expected=expected,
        probabilities=np.eye(2, dtype=np.float32)[predicted],
    )


def _write(rows: pa.Table, folder: Path, **changes: object) -> dict:
    texts, candidate = rows["text"].to_pylist(), _predictions(rows)
    slices = slices_of(rows, texts, candidate.space, RULES)
    write_slices(section("evaluate", **changes), rows, texts, slices, candidate, folder)
    return json.loads((folder / "weak_slices.json").read_text(encoding="utf-8"))


def test_the_weak_slice_is_found_and_has_the_name_that_the_user_gave_it(rows: pa.Table, tmp_path: Path):
    (found,) = _write(rows, tmp_path)["slices"]
    assert found["rule"] == "matches the rule 'asks why'"  # and not "has the word 'why'", which is the same
    assert found["accuracy"] < found["rest_accuracy"]


def test_the_slices_are_those_of_all_rows_and_the_search_takes_a_sample(rows: pa.Table, tmp_path: Path):
    weak = _write(rows, tmp_path, sample_rows=500)
    slices = json.loads((tmp_path / "slices.json").read_text(encoding="utf-8"))["slices"]
    assert [each["rows"] for each in slices if each["group"] == "rule"] == [ROWS // 10]
    assert weak["proposed_on"] + weak["confirmed_on"] == weak["rows"] == 500
    assert weak["of_rows"] == ROWS


def test_the_same_rows_give_the_same_bytes(rows: pa.Table, tmp_path: Path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        _write(rows, tmp_path / name)
    for file in ("slices.json", "weak_slices.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
