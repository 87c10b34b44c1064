"""The fit to many rows, tried on few: it must answer as the exact one does."""

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from bertline.metrics.intervals import paired_difference
from bertline.params.baseline import Params
from bertline.rows.io import write_rows
from bertline.rows.labels import MULTI_LABEL, SINGLE_LABEL, LabelSpace
from bertline.rows.schema import make_rows
from bertline.rows.text_key import add_ids
from bertline.stages.baseline import large
from bertline.stages.baseline.fit import fit_baseline
from bertline.stages.baseline.training_rows import TrainingRows, read_training_rows
from bertline.stages.ingest.samples import read_sample

PARAMS = Params(ngrams=2, C=10.0, folds=5)
TOPICS = {"food": "bread soup tea rice", "sport": "ball run team goal", "money": "bank loan price tax"}


def _texts(labels: Sequence[str]) -> list[str]:
    draw = random.Random(1)
    filler = [f"w{i}" for i in range(200)]
    texts = []
    for i, label in enumerate(labels):
        cues = [draw.choice(TOPICS[each].split()) for each in label.split("\x1f")] if label else []
        texts.append(" ".join([*draw.choices(filler, k=6), *cues, f"n{i}"]))
    return texts


def _rows(
    path: Path, texts: Sequence[str], labels: Sequence[str], space: LabelSpace = SINGLE_LABEL
) -> TrainingRows:
    write_rows(add_ids(make_rows(texts, labels)), path, space=space)
    return read_training_rows(path, PARAMS.folds)


@pytest.fixture
def rows(tmp_path: Path) -> TrainingRows:
    labels = list(TOPICS) * 100
    return _rows(tmp_path / "train.parquet", _texts(labels), labels)


@pytest.mark.parametrize("sample", ["trec", "sms-spam"])
def test_it_is_no_weaker_than_the_exact_fit(sample: str, tmp_path: Path):
    found = read_sample(f"sample:{sample}")
    both = sorted(set(zip(found.texts, found.labels, strict=True)))
    random.Random(1).shuffle(both)
    texts, labels = (list(each) for each in zip(*both[:4000], strict=True))
    exact = fit_baseline(texts[:3000], labels[:3000], PARAMS)
    fitted, _ = large.fit_large(_rows(tmp_path / "train.parquet", texts[:3000], labels[:3000]), PARAMS)
    old, new = (model.probabilities(texts[3000:]).argmax(axis=1) for model in (exact, fitted))
    expected = np.array([exact.space.classes.index(label) for label in labels[3000:]])
    settings = {"resamples": 1000, "confidence": 0.95, "seed": 1}
    change = paired_difference(expected, new, old, len(exact.space.classes), "macro_f1", **settings)
    assert change.low >= -0.01


def test_the_same_rows_give_the_same_bits(rows: TrainingRows, tmp_path: Path):
    (one, first), (other, second) = (large.fit_large(rows, PARAMS) for _ in range(2))
    assert first.tobytes() == second.tobytes()
    for name, model in (("one", one), ("other", other)):
        model.save(tmp_path / name)
    for file in ("baseline.json", "baseline.safetensors"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes()


def test_a_label_does_not_change_its_own_out_of_fold_prediction(rows: TrainingRows):
    _, before = large.fit_large(rows, PARAMS)
    rows.expected[0] = (rows.expected[0] + 1) % 3
    _, after = large.fit_large(rows, PARAMS)
    assert after[0].tobytes() == before[0].tobytes()
    assert after.tobytes() != before.tobytes()


def test_out_of_fold_predictions_find_the_topics(rows: TrainingRows):
    _, probabilities = large.fit_large(rows, PARAMS)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert (probabilities.argmax(axis=1) == rows.expected).mean() > 0.95


def test_rows_beyond_what_a_fit_takes_are_predicted_all_the_same(
    rows: TrainingRows, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(large, "MAX_ENTRIES", 3000)  # of some 4,500
    _, probabilities = large.fit_large(rows, PARAMS)
    assert (probabilities.argmax(axis=1) == rows.expected).mean() > 0.9


def test_terms_are_at_most_the_most_frequent_ones_allowed(
    rows: TrainingRows, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(large, "MAX_WEIGHTS", 3 * 50)
    fitted, _ = large.fit_large(rows, PARAMS)
    fitted.save(tmp_path)
    text = (tmp_path / "baseline.json").read_text("utf-8")
    assert "bread" in text
    assert "n17" not in text


def test_a_class_in_one_fold_only_has_probability_0_there(rows: TrainingRows):
    inside = rows.fold_N == rows.fold_N[0]
    rows.expected[rows.expected == 2] = 0
    rows.expected[inside] = 2
    _, probabilities = large.fit_large(rows, PARAMS)
    assert (probabilities[inside, 2] == 0).all()
    assert (probabilities[~inside, 2] > 0).all()


@pytest.mark.parametrize("classes", [2, 3])
def test_where_the_other_folds_hold_one_class_it_is_certain(rows: TrainingRows, classes: int, tmp_path: Path):
    labels = list(TOPICS)[:classes] * 60
    rows = _rows(tmp_path / "few.parquet", _texts(labels), labels)
    inside = rows.fold_N == 0
    rows.expected[~inside] = 1
    rows.expected[inside] = np.arange(inside.sum()) % classes
    _, probabilities = large.fit_large(rows, PARAMS)
    assert (probabilities[inside] == np.eye(classes)[1]).all()


def test_each_of_several_labels_is_found_on_its_own(tmp_path: Path):
    labels = ["food", "food\x1fsport", "", "money\x1fsport"] * 80
    rows = _rows(tmp_path / "train.parquet", _texts(labels), labels, MULTI_LABEL)
    fitted, probabilities = large.fit_large(rows, PARAMS)
    assert fitted.space.multi_label
    assert ((probabilities > 0.5) == rows.expected).mean() > 0.9
    answers = fitted.probabilities(["w1 w2 soup team", "w3 w4 w5"]) > 0.5
    assert answers.tolist() == [[True, False, True], [False, False, False]]


def test_a_label_that_all_other_rows_have_is_certain(tmp_path: Path):
    labels = ["food", "food\x1fsport"] * 60
    rows = _rows(tmp_path / "train.parquet", _texts(labels), labels, MULTI_LABEL)
    fitted, probabilities = large.fit_large(rows, PARAMS)
    assert (probabilities[:, 0] == 1).all()
    assert (fitted.probabilities(["w1"])[:, 0] == 1).all()


def test_texts_without_a_word_are_read_by_their_characters(tmp_path: Path):
    labels = ["good", "bad"] * 30
    texts = [("😀" if label == "good" else "😡") * (i % 7 + 1) for i, label in enumerate(labels)]
    fitted, _ = large.fit_large(_rows(tmp_path / "train.parquet", texts, labels), PARAMS)
    assert fitted.probabilities(["😀", "😡"]).argmax(axis=1).tolist() == [1, 0]
