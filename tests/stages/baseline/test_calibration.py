import random
from pathlib import Path

import numpy as np
import pytest

from bertline.metrics.calibration import calibration_error, log_loss
from bertline.metrics.predictions import read_predictions
from bertline.metrics.temperature import fit_temperature, to_logits
from bertline.models.tfidf import load_baseline
from bertline.rows.io import write_rows
from bertline.rows.schema import make_rows
from bertline.rows.text_key import add_ids
from bertline.stages.baseline import stage
from bertline.stages.baseline.calibration import fit_out_of_fold
from bertline.stages.baseline.fit import fit_baseline
from bertline.stages.ingest.samples import read_sample
from tests.support.params import section

PARAMS = section("baseline")


@pytest.mark.parametrize("exact", [0, 50_000])
def test_the_written_model_is_better_calibrated_on_new_rows_and_answers_the_same(
    exact: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = read_sample("sample:sms-spam")
    rows = sorted(set(zip(found.texts, found.labels, strict=True)))
    random.Random(1).shuffle(rows)
    texts, labels = (list(each) for each in zip(*rows, strict=True))
    (tmp_path / "params.yaml").write_text("baseline: {ngrams: 2, C: 10.0, folds: 5}\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stage, "EXACT", exact)
    write_rows(add_ids(make_rows(texts[:1500], labels[:1500])), tmp_path / "splits/train.parquet")
    stage.baseline(splits=tmp_path / "splits", model=tmp_path / "model", out_of_fold=tmp_path)
    plain = fit_baseline(texts[:1500], labels[:1500], PARAMS)
    before, after = (each.probabilities(texts[1500:]) for each in (plain, load_baseline(tmp_path / "model")))
    expected = np.array([plain.space.classes.index(label) for label in labels[1500:]])
    assert log_loss(expected, after) < log_loss(expected, before)
    assert calibration_error(expected, after) < 0.5 * calibration_error(expected, before)
    assert (after.argmax(axis=1) != before.argmax(axis=1)).mean() < (0.01 if exact == 0 else 1e-9)


def test_out_of_fold_predictions_are_written_as_no_label_of_their_row_changed_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "params.yaml").write_text("baseline: {ngrams: 2, C: 10.0, folds: 5}\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    texts = [f"{word} {i}" for word in ("who", "where") for i in range(40)]
    written = {}
    for name, first in (("one", "HUM"), ("other", "LOC")):
        rows = make_rows(texts, [first, *["HUM"] * 39, *["LOC"] * 40])
        write_rows(add_ids(rows), tmp_path / name / "train.parquet")
        stage.baseline(splits=tmp_path / name, model=tmp_path / "model", out_of_fold=tmp_path / name / "out")
        written[name] = read_predictions(tmp_path / name / "out/train.parquet").probabilities[0]
    assert written["one"].tobytes() == written["other"].tobytes()


def test_a_row_whose_class_the_other_folds_did_not_know_does_not_count() -> None:
    random = np.random.default_rng(1)
    probabilities = random.dirichlet(np.ones(3), size=200).astype(np.float32)
    expected = random.integers(3, size=200)
    unknown = np.tile(np.array([0, 0.9, 0.1], np.float32), (50, 1))
    found = fit_out_of_fold(
        np.concatenate([probabilities, unknown]), np.concatenate([expected, np.zeros(50, np.int64)])
    )
    plain = fit_temperature(to_logits(probabilities, multi_label=False), expected)
    assert found.values_C.tolist() == plain.values_C.tolist()


def test_answers_that_the_other_folds_were_certain_of_do_not_count() -> None:
    random = np.random.default_rng(1)
    probabilities = random.random((200, 2)).astype(np.float32)
    expected = (random.random((200, 2)) < probabilities).astype(np.uint8)
    plain = fit_out_of_fold(probabilities, expected)
    probabilities = np.concatenate([probabilities, np.ones((10, 2), np.float32)])
    expected = np.concatenate([expected, np.zeros((10, 2), np.uint8)])
    assert fit_out_of_fold(probabilities, expected).values_C.tolist() == plain.values_C.tolist()
