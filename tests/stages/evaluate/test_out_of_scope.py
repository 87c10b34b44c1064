import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bertline.models.classifier import Answers
from bertline.models.tfidf import Baseline
from bertline.rows.labels import MULTI_LABEL, OUT_OF_SCOPE, SINGLE_LABEL, LabelSpace
from bertline.rows.schema import make_rows
from bertline.rows.text_key import add_ids
from bertline.stages.baseline.fit import fit_baseline
from bertline.stages.evaluate.out_of_scope import FILE, count_refusals, write_out_of_scope
from tests.support.params import section

TEXTS = ["who is it", "where is it", "nothing at all"]


@pytest.fixture(params=[SINGLE_LABEL, MULTI_LABEL])
def model(request: pytest.FixtureRequest) -> Baseline:
    space: LabelSpace = request.param
    texts = [f"{word} {i}" for i in range(9) for word in ("who", "where", "how")]
    return fit_baseline(texts, ["HUM", "LOC", "NUM"] * 9, section("baseline", ngrams=1), space)


def _rows(texts: list[str]) -> pa.Table:
    return add_ids(make_rows(texts, OUT_OF_SCOPE))


def _write(model: Baseline, texts: list[str], folder: Path) -> None:
    places = np.arange(len(texts))
    answers = Answers(model.probabilities(texts), places.astype(np.float32), places % 2)
    write_out_of_scope(answers, model.space, _rows(texts)["id"], folder)


def test_the_file_has_the_answer_to_each_row_in_its_order(model: Baseline, tmp_path: Path) -> None:
    rows = _rows(TEXTS)
    _write(model, TEXTS, tmp_path / "predictions")
    table = pq.read_table(tmp_path / "predictions" / FILE)
    assert table["id"].to_pylist() == rows["id"].to_pylist()
    expected = model.probabilities(TEXTS)
    np.testing.assert_array_equal(np.array(table["probabilities"].to_pylist(), np.float32), expected)
    assert table["prediction"].to_pylist()[:2] == ["HUM", "LOC"]
    assert table["refused"].to_pylist() == [None, "out_of_scope", None]
    assert json.loads(table.schema.metadata[b"classes"]) == ["HUM", "LOC", "NUM"]


def test_without_such_rows_there_is_no_file_not_even_an_older_one(model: Baseline, tmp_path: Path) -> None:
    _write(model, TEXTS, tmp_path)
    _write(model, [], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_two_runs_write_the_same_bytes(model: Baseline, tmp_path: Path) -> None:
    for name in ("one", "two"):
        _write(model, TEXTS, tmp_path / name)
    assert (tmp_path / "one" / FILE).read_bytes() == (tmp_path / "two" / FILE).read_bytes()


def _answers(refused: list[int], scores: list[float]) -> Answers:
    return Answers(np.zeros((len(refused), 2), np.float32), np.array(scores, np.float32), np.array(refused))


def test_what_the_thresholds_do_is_counted_for_both_kinds_of_rows() -> None:
    inside = _answers([0, 0, 0, 2], [1, 2, 3, 4])
    found = count_refusals(inside, np.array([True, True, False, False]), _answers([1, 0], [5, 2.5]))
    assert found["abstention"] == {"answered": 0.75, "precision_of_answered": round(2 / 3, 6)}
    assert found["out_of_scope"] == {"rows": 2, "refused": 0.5, "auroc": 0.75}


def test_where_no_row_is_out_of_scope_none_is_counted() -> None:
    found = count_refusals(_answers([2], [1]), np.array([True]), _answers([], []))
    assert found == {"abstention": {"answered": 0.0}}
