import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from bertline.modeling.baseline import Baseline, fit_baseline, load_baseline
from bertline.params.baseline import Params

PARAMS = Params(ngrams=2, regularization=10.0)
QUESTIONS = {
    "HUM": ["who wrote hamlet", "who was the first president", "who invented the radio", "who is the queen"],
    "LOC": [
        "where is the tower",
        "where do penguins live",
        "what city hosts the games",
        "where is café zürich",
    ],
    "NUM": [
        "how many people live here",
        "how far is the moon",
        "how many days are in a year",
        "how tall is it",
    ],
}


def _fit(labels: tuple[str, ...] = ("HUM", "LOC", "NUM"), params: Params = PARAMS) -> Baseline:
    rows = [(text, label) for label in reversed(labels) for text in QUESTIONS[label]]
    return fit_baseline([text for text, _ in rows], [label for _, label in rows], params)


NEW = ["who is it", "where is the moon", "how many penguins", "", "zzz ¿qué?"]


@pytest.mark.parametrize("labels", [("HUM", "LOC"), ("HUM", "LOC", "NUM")])
def test_a_saved_model_loads_to_exactly_the_same_probabilities(labels: tuple[str, ...], tmp_path: Path):
    fitted = _fit(labels)
    fitted.save(tmp_path / "model")
    loaded = load_baseline(tmp_path / "model")
    assert loaded.labels == fitted.labels == labels
    assert loaded.probabilities(NEW).tobytes() == fitted.probabilities(NEW).tobytes()


def test_probabilities_are_those_of_scikit_learn():
    for labels in (("HUM", "LOC"), ("HUM", "LOC", "NUM")):
        texts = [text for label in labels for text in QUESTIONS[label]]
        truth = [label for label in labels for _ in QUESTIONS[label]]
        vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
        pipeline = make_pipeline(vectorizer, LogisticRegression(C=10.0, max_iter=1000)).fit(texts, truth)
        ours = fit_baseline(texts, truth, PARAMS).probabilities(NEW)
        np.testing.assert_allclose(ours, pipeline.predict_proba(NEW), atol=1e-6)


def test_fitting_twice_writes_the_same_bytes(tmp_path: Path):
    for name in ("one", "two"):
        _fit().save(tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == ["baseline.json", "baseline.safetensors"]
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_probabilities_sum_to_one_and_find_the_obvious_class():
    fitted = _fit()
    probabilities = fitted.probabilities(NEW)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    assert [fitted.labels[i] for i in probabilities[:3].argmax(axis=1)] == ["HUM", "LOC", "NUM"]


def test_longer_ngrams_are_more_terms(tmp_path: Path):
    _fit(params=Params(ngrams=1, regularization=10.0)).save(tmp_path / "one")
    _fit(params=Params(ngrams=3, regularization=10.0)).save(tmp_path / "three")
    one, three = ((tmp_path / name / "baseline.json").read_text("utf-8") for name in ("one", "three"))
    assert "who is the" not in one
    assert "who is the" in three


@pytest.mark.parametrize("damage", ["missing", "not JSON", "not safetensors"])
def test_a_folder_that_is_no_baseline_names_the_next_command(tmp_path: Path, damage: str):
    if damage != "missing":
        _fit().save(tmp_path)
        file = {"not JSON": "baseline.json", "not safetensors": "baseline.safetensors"}[damage]
        (tmp_path / file).write_bytes(b"oops")
    with pytest.raises(ValueError, match="does not hold a baseline; run `dvc repro baseline`"):
        load_baseline(tmp_path)


def test_it_imports_no_torch():
    script = "import sys, bertline.modeling.baseline; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)
