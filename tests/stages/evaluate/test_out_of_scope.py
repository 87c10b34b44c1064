import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bertline.models.tfidf import Baseline
from bertline.rows.labels import MULTI_LABEL, OUT_OF_SCOPE, SINGLE_LABEL, LabelSpace
from bertline.rows.schema import make_rows
from bertline.rows.text_key import add_ids
from bertline.stages.baseline.fit import fit_baseline
from bertline.stages.evaluate.out_of_scope import FILE, evaluate_out_of_scope
from tests.support.params import section

TEXTS = ["who is it", "where is it", "nothing at all"]


@pytest.fixture(params=[SINGLE_LABEL, MULTI_LABEL])
def model(request: pytest.FixtureRequest) -> Baseline:
    space: LabelSpace = request.param
    texts = [f"{word} {i}" for i in range(9) for word in ("who", "where", "how")]
    return fit_baseline(texts, ["HUM", "LOC", "NUM"] * 9, section("baseline", ngrams=1), space)


def _rows(texts: list[str]) -> pa.Table:
    return add_ids(make_rows(texts, OUT_OF_SCOPE))


def test_the_file_has_the_answer_to_each_row_in_its_order(model: Baseline, tmp_path: Path) -> None:
    rows = _rows(TEXTS)
    assert evaluate_out_of_scope(model, rows, tmp_path / "predictions") == {"rows": 3}
    table = pq.read_table(tmp_path / "predictions" / FILE)
    assert table["id"].to_pylist() == rows["id"].to_pylist()
    expected = model.probabilities(TEXTS)
    np.testing.assert_array_equal(np.array(table["probabilities"].to_pylist(), np.float32), expected)
    assert table["prediction"].to_pylist()[:2] == ["HUM", "LOC"]
    assert json.loads(table.schema.metadata[b"classes"]) == ["HUM", "LOC", "NUM"]


def test_without_such_rows_there_is_no_file_not_even_an_older_one(model: Baseline, tmp_path: Path) -> None:
    evaluate_out_of_scope(model, _rows(TEXTS), tmp_path)
    assert evaluate_out_of_scope(model, _rows([]), tmp_path) == {}
    assert list(tmp_path.iterdir()) == []


def test_two_runs_write_the_same_bytes(model: Baseline, tmp_path: Path) -> None:
    for name in ("one", "two"):
        evaluate_out_of_scope(model, _rows(TEXTS), tmp_path / name)
    assert (tmp_path / "one" / FILE).read_bytes() == (tmp_path / "two" / FILE).read_bytes()
