from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from bertline.metrics.predictions import read_predictions
from bertline.models.tfidf import load_baseline
from bertline.rows.io import read_rows, write_rows
from bertline.rows.labels import MULTI_LABEL, OUT_OF_SCOPE, LabelSpace
from bertline.rows.schema import make_rows
from bertline.rows.text_key import add_ids
from bertline.stages.baseline import stage
from bertline.stages.baseline.stage import baseline


@pytest.fixture
def splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A training split, and no other: the stage must not ask for one."""
    (tmp_path / "params.yaml").write_text("baseline: {ngrams: 2, C: 10.0, folds: 5}\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    texts = [f"{word} {i}" for word in ("who", "where") for i in range(8)]
    rows = make_rows(texts, ["HUM"] * 8 + ["LOC"] * 8)
    write_rows(add_ids(rows), tmp_path / "splits/train.parquet")
    return tmp_path / "splits"


def test_it_learns_from_the_training_rows(splits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    baseline(splits=splits, model=tmp_path / "models" / "baseline", out_of_fold=tmp_path / "out_of_fold")
    model = load_baseline(tmp_path / "models" / "baseline")
    assert model.space.classes == ("HUM", "LOC")
    assert model.probabilities(["who", "where"]).argmax(axis=1).tolist() == [0, 1]
    assert capsys.readouterr().out.splitlines() == [
        "fitted 2 classes to 16 rows",
        "out-of-fold accuracy 1.000 over 5 folds",
        "calibrated on them: temperature 1, because 16 rows are too few to fit a temperature; 50 are needed",
    ]


def test_every_training_row_is_predicted_out_of_fold_in_its_order(splits: Path, tmp_path: Path):
    baseline(splits=splits, model=tmp_path / "model", out_of_fold=tmp_path / "out_of_fold")
    rows = read_rows(splits / "train.parquet")
    found = read_predictions(tmp_path / "out_of_fold" / "train.parquet")
    assert found.ids == rows["id"].to_pylist()
    assert [found.classes[i] for i in found.expected] == rows["label"].to_pylist()
    model = load_baseline(tmp_path / "model")
    assert not np.array_equal(found.probabilities, model.probabilities(rows["text"].to_pylist()))


def test_both_outputs_are_the_same_bytes_every_time(splits: Path, tmp_path: Path):
    for name in ("one", "two"):
        baseline(splits=splits, model=tmp_path / name, out_of_fold=tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == ["baseline.json", "baseline.safetensors", "train.parquet"]
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_sentence_pairs_are_learned_from_both_texts(splits: Path, tmp_path: Path):
    rows = make_rows(
        ["same"] * 12, ["no", "yes"] * 6, text_pair=[f"{w} {i}" for i in range(6) for w in ("cat", "dog")]
    )
    write_rows(add_ids(rows), splits / "train.parquet")
    baseline(splits=splits, model=tmp_path / "model", out_of_fold=tmp_path / "out_of_fold")
    pairs = [("same", "cat"), ("same", "dog")]
    assert load_baseline(tmp_path / "model").probabilities(pairs).argmax(axis=1).tolist() == [0, 1]


@pytest.mark.parametrize("exact", [True, False])
def test_rows_out_of_scope_change_no_byte(
    exact: bool, splits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    if not exact:
        monkeypatch.setattr(stage, "EXACT", 0)
    baseline(splits=splits, model=tmp_path / "without", out_of_fold=tmp_path / "without")
    rows = read_rows(splits / "train.parquet").replace_schema_metadata(None)
    outside = add_ids(make_rows(["why 1", "when 1"], [OUT_OF_SCOPE] * 2))
    write_rows(pa.concat_tables([outside.slice(1), rows, outside.slice(0, 1)]), splits / "train.parquet")
    baseline(splits=splits, model=tmp_path / "with", out_of_fold=tmp_path / "with")
    for file in ("baseline.json", "baseline.safetensors", "train.parquet"):
        assert (tmp_path / "with" / file).read_bytes() == (tmp_path / "without" / file).read_bytes()


def test_a_missing_split_is_an_error(splits: Path, tmp_path: Path):
    (splits / "train.parquet").unlink()
    with pytest.raises(ValueError, match=r"train\.parquet"):
        baseline(splits=splits, model=tmp_path / "model", out_of_fold=tmp_path / "out_of_fold")


def test_rows_with_several_labels_or_none_are_learned_and_predicted_out_of_fold(
    splits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    texts = [f"{words} {i}" for words in ("who", "where", "who where", "hello") for i in range(8)]
    labels = ["HUM"] * 8 + ["LOC"] * 8 + ["HUM\x1fLOC"] * 8 + [""] * 8
    write_rows(add_ids(make_rows(texts, labels)), splits / "train.parquet", space=MULTI_LABEL)
    baseline(splits=splits, model=tmp_path / "model", out_of_fold=tmp_path / "out_of_fold")
    model = load_baseline(tmp_path / "model")
    assert model.space == LabelSpace(("HUM", "LOC"), multi_label=True)
    answers = model.probabilities(["who", "where", "who where", "hello"]) >= 0.5
    assert answers.tolist() == [[True, False], [False, True], [True, True], [False, False]]
    found = read_predictions(tmp_path / "out_of_fold" / "train.parquet")
    assert found.multi_label
    assert found.expected.sum(axis=0).tolist() == [16, 16]
    assert found.right.mean() > 0.9
    assert f"out-of-fold accuracy {found.right.mean():.3f} over 5 folds" in capsys.readouterr().out


def test_beyond_the_exact_fit_the_outputs_have_the_same_form(
    splits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(stage, "EXACT", 31)  # rows x classes
    baseline(splits=splits, model=tmp_path / "model", out_of_fold=tmp_path / "out_of_fold")
    model = load_baseline(tmp_path / "model")
    assert model.space.classes == ("HUM", "LOC")
    assert model.probabilities(["who", "where"]).argmax(axis=1).tolist() == [0, 1]
    found = read_predictions(tmp_path / "out_of_fold" / "train.parquet")
    assert found.ids == read_rows(splits / "train.parquet")["id"].to_pylist()
