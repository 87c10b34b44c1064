import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MultiLabelBinarizer

from bertline.modeling.baseline import Baseline, fit_baseline, load_baseline, predict_out_of_fold
from bertline.params.baseline import Params

PARAMS = Params(ngrams=2, regularization=10.0, folds=5)
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


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Who wrote «Война и мир» in a 4x4? हिन्दी 한국어 😀", None),  # as scikit-learn has it
        ("iPhone手机", ["iphone", "手", "机"]),
        ("a ไม่ b", ["ไ", "ม", "่"]),
        ("𠮷野家で ok", ["𠮷", "野", "家", "で", "ok"]),
        ("မသွား សួ", [*"မသွား", *"សួ"]),
    ],
)
def test_where_a_script_has_no_spaces_each_letter_is_a_word(
    text: str, words: list[str] | None, tmp_path: Path
):
    fit_baseline([text, text], ["a", "b"], Params(ngrams=1, regularization=10.0, folds=5)).save(tmp_path)
    theirs = TfidfVectorizer().fit([text]).vocabulary_
    assert set(json.loads((tmp_path / "baseline.json").read_text("utf-8"))["vocabulary"]) == set(
        words or theirs
    )


def test_chinese_is_told_apart_by_its_letters():
    draw = random.Random(1)
    filler = [chr(code) for code in range(0x4E00, 0x4E00 + 300)]

    def text(cue: str) -> str:
        letters = draw.choices(filler, k=15)
        return "".join([*letters[:7], cue, *letters[7:]])

    labels = ["体育", "财经"] * 100
    texts = [text({"体育": "足球", "财经": "股票"}[label]) for label in labels]
    fitted = fit_baseline(texts[:100], labels[:100], PARAMS)
    answers = [fitted.labels[i] for i in fitted.probabilities(texts[100:]).argmax(axis=1)]
    assert answers == labels[100:]


@pytest.mark.parametrize(("one", "other"), [("😀 👍🏽", "😡"), ("y", "n")])
def test_texts_without_a_word_are_read_by_their_characters(one: str, other: str, tmp_path: Path):
    fitted = fit_baseline([one, other] * 5, ["good", "bad"] * 5, PARAMS)
    assert fitted.probabilities([one, other]).argmax(axis=1).tolist() == [1, 0]
    fitted.save(tmp_path)
    loaded = load_baseline(tmp_path)
    assert loaded.probabilities([one, other]).tobytes() == fitted.probabilities([one, other]).tobytes()


def test_longer_ngrams_are_more_terms(tmp_path: Path):
    _fit(params=Params(ngrams=1, regularization=10.0, folds=5)).save(tmp_path / "one")
    _fit(params=Params(ngrams=3, regularization=10.0, folds=5)).save(tmp_path / "three")
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


def test_a_sentence_pair_is_read_as_one_text():
    fitted = _fit()
    pairs = fitted.probabilities([("who is", "the queen"), ("where is", "the tower")])
    assert pairs.tobytes() == fitted.probabilities(["who is\nthe queen", "where is\nthe tower"]).tobytes()
    texts, labels = [("who is", text) for text in QUESTIONS["NUM"]] * 2, ["HUM", "NUM"] * 4
    assert fit_baseline(texts, labels, PARAMS).labels == ("HUM", "NUM")


def _content_id(fold: int, i: int) -> str:
    return f"{PARAMS.folds * (i + 1) + fold:032x}"


def test_out_of_fold_probabilities_are_those_of_a_fit_to_the_other_folds():
    texts = [text for label in QUESTIONS for text in QUESTIONS[label]]
    labels = [label for label in QUESTIONS for _ in QUESTIONS[label]]
    folds = [i % 2 for i in range(len(texts))]
    found = predict_out_of_fold(texts, labels, [_content_id(fold, i) for i, fold in enumerate(folds)], PARAMS)
    for fold in (0, 1):
        others = [i for i in range(len(texts)) if folds[i] != fold]
        fitted = fit_baseline([texts[i] for i in others], [labels[i] for i in others], PARAMS)
        inside = [i for i in range(len(texts)) if folds[i] == fold]
        assert found[inside].tobytes() == fitted.probabilities([texts[i] for i in inside]).tobytes()


def test_a_label_does_not_change_its_own_out_of_fold_prediction():
    texts = [f"{text} {i}" for label in QUESTIONS for text in QUESTIONS[label] for i in range(5)]
    labels = [label for label in QUESTIONS for _ in range(4 * 5)]
    ids = [_content_id(i % 5, i) for i in range(len(texts))]
    before = predict_out_of_fold(texts, labels, ids, PARAMS)
    labels[0] = "NUM"
    after = predict_out_of_fold(texts, labels, ids, PARAMS)
    assert after[0].tobytes() == before[0].tobytes()
    assert after[1].tobytes() != before[1].tobytes()


def test_equal_content_is_never_predicted_by_a_fit_to_itself():
    texts = [text for label in QUESTIONS for text in QUESTIONS[label]] + ["zebra", "ZEBRA"]
    labels = [label for label in QUESTIONS for _ in QUESTIONS[label]] + ["HUM", "LOC"]
    ids = [_content_id(i % 5, i) for i in range(len(texts) - 2)] + [_content_id(2, 99)] * 2
    first, second = predict_out_of_fold(texts, labels, ids, PARAMS)[-2:]
    assert first.tobytes() == second.tobytes()


def test_a_class_in_one_fold_only_has_probability_0_there():
    texts = [text for label in QUESTIONS for text in QUESTIONS[label]]
    labels = [label for label in QUESTIONS for _ in QUESTIONS[label]]
    ids = [_content_id(0 if label == "NUM" else 1 + i % 2, i) for i, label in enumerate(labels)]
    found = predict_out_of_fold(texts, labels, ids, PARAMS)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-6)
    only = [label == "NUM" for label in labels]
    assert (found[only, 2] == 0).all()
    assert (found[np.logical_not(only), 2] > 0).all()


@pytest.mark.parametrize(
    ("folds", "expected"),
    [([0, 0, 0, 0], [[0, 0]] * 4), ([0, 0, 1, 1], [[0, 1], [0, 1], [1, 0], [1, 0]])],
)
def test_where_the_other_folds_hold_no_two_classes_there_is_nothing_to_fit(
    folds: list[int], expected: list[list[float]]
):
    ids = [_content_id(fold, i) for i, fold in enumerate(folds)]
    found = predict_out_of_fold(["one", "two", "six", "ten"], ["a", "a", "b", "b"], ids, PARAMS)
    assert found.tolist() == expected


def test_it_imports_no_torch():
    script = "import sys, bertline.modeling.baseline; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


SETS = {
    "who wrote it and where": "HUM\x1fLOC",
    "where is the tower": "LOC",
    "who is the queen": "HUM",
    "hello there": "",
    "who asked how many and where": "HUM\x1fLOC\x1fNUM",
    "how many of them": "NUM",
}


def _fit_sets(labels: dict[str, str] = SETS) -> Baseline:
    return fit_baseline(list(labels), list(labels.values()), PARAMS, multi_label=True)


def test_multi_label_probabilities_are_those_of_scikit_learns_one_against_the_rest():
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    one_vs_rest = OneVsRestClassifier(LogisticRegression(C=10.0, max_iter=1000))
    targets = MultiLabelBinarizer().fit_transform(
        [text.split("\x1f") if text else [] for text in SETS.values()]
    )
    pipeline = make_pipeline(vectorizer, one_vs_rest).fit(list(SETS), targets)
    fitted = _fit_sets()
    assert (fitted.labels, fitted.multi_label) == (("HUM", "LOC", "NUM"), True)
    np.testing.assert_allclose(fitted.probabilities(NEW), pipeline.predict_proba(NEW), atol=1e-6)


def test_a_saved_multi_label_model_loads_to_exactly_the_same_probabilities(tmp_path: Path):
    fitted = _fit_sets(
        SETS | {"a label of every row": "ALL"} | {text: f"ALL\x1f{label}" for text, label in SETS.items()}
    )
    fitted.save(tmp_path)
    loaded = load_baseline(tmp_path)
    assert (loaded.labels, loaded.multi_label) == (fitted.labels, True)
    assert loaded.probabilities(NEW).tobytes() == fitted.probabilities(NEW).tobytes()


def test_a_label_of_all_rows_is_always_predicted():
    fitted = _fit_sets({text: f"ALL\x1f{label}" if label else "ALL" for text, label in SETS.items()})
    assert fitted.labels[0] == "ALL"
    assert (fitted.probabilities(NEW)[:, 0] == 1).all()
    np.testing.assert_array_equal(fitted.probabilities(NEW)[:, 1:], _fit_sets().probabilities(NEW))


@pytest.mark.parametrize(("label", "found"), [("", "no label"), ("HUM", "only the label 'HUM'")])
def test_fewer_than_two_labels_are_an_error(label: str, found: str):
    with pytest.raises(ValueError, match=f"the training rows have {found}; at least two are needed"):
        _fit_sets(dict.fromkeys(SETS, label))


def test_multi_label_out_of_fold_probabilities_are_those_of_a_fit_to_the_other_folds():
    texts, labels = list(SETS) * 2, list(SETS.values()) * 2
    folds = [i % 2 for i in range(6)] + [1 - i % 2 for i in range(6)]
    ids = [_content_id(fold, i) for i, fold in enumerate(folds)]
    found = predict_out_of_fold(texts, labels, ids, PARAMS, multi_label=True)
    for fold in (0, 1):
        outside, inside = ([i for i in range(12) if (folds[i] == fold) == which] for which in (False, True))
        fitted = fit_baseline(
            [texts[i] for i in outside], [labels[i] for i in outside], PARAMS, multi_label=True
        )
        assert found[inside].tobytes() == fitted.probabilities([texts[i] for i in inside]).tobytes()


def test_a_label_in_one_fold_only_has_probability_0_there():
    ids = [_content_id(0 if "NUM" in label else 1 + i % 2, i) for i, label in enumerate(SETS.values())]
    found = predict_out_of_fold(list(SETS), list(SETS.values()), ids, PARAMS, multi_label=True)
    only = np.array(["NUM" in label for label in SETS.values()])
    assert (found[only, 2] == 0).all()
    assert (found[~only] > 0).all()
