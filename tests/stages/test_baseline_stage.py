from pathlib import Path

import pyarrow as pa
import pytest

from bertline.corpus.rows import ROWS, with_ids, write_rows
from bertline.modeling.baseline import load_baseline
from bertline.stages.baseline import baseline


@pytest.fixture
def splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A training split, and no other: the stage must not ask for one."""
    (tmp_path / "params.yaml").write_text("baseline: {ngrams: 2, regularization: 10.0}\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    rows = [{"text": f"who {i}", "label": "HUM"} for i in range(8)]
    rows += [{"text": f"where {i}", "label": "LOC"} for i in range(8)]
    write_rows(with_ids(pa.Table.from_pylist(rows, schema=ROWS.remove(0))), tmp_path / "splits/train.parquet")
    return tmp_path / "splits"


def test_it_learns_from_the_training_rows(splits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    baseline(splits=splits, model=tmp_path / "models" / "baseline")
    model = load_baseline(tmp_path / "models" / "baseline")
    assert model.labels == ("HUM", "LOC")
    assert model.probabilities(["who", "where"]).argmax(axis=1).tolist() == [0, 1]
    assert capsys.readouterr().out == "fitted 2 classes to 16 rows\n"


def test_a_missing_split_is_an_error(splits: Path, tmp_path: Path):
    (splits / "train.parquet").unlink()
    with pytest.raises(ValueError, match=r"train\.parquet"):
        baseline(splits=splits, model=tmp_path / "model")
