import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MultiLabelBinarizer

from bertline.models.tfidf import Baseline, load_baseline
from bertline.params.baseline import Params
from bertline.rows.labels import MULTI_LABEL, LabelSpace
from bertline.rows.words import find_terms, spell
from bertline.stages.baseline.fit import fit_baseline, predict_out_of_fold
from tests.support.params import section

PARAMS: Params = section("baseline")
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
    assert loaded.space.classes == fitted.space.classes == labels
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
    assert [fitted.space.classes[i] for i in probabilities[:3].argmax(axis=1)] == ["HUM", "LOC", "NUM"]


def test_the_terms_are_the_words_of_the_texts(tmp_path: Path):
    text = "Who wrote «Война и мир» in a 4x4? हिन्दी 한국어 iPhone手机 😀"
    fit_baseline([text, text], ["a", "b"], section("baseline", ngrams=1)).save(tmp_path)
    vocabulary = json.loads((tmp_path / "baseline.json").read_text("utf-8"))["vocabulary"]
    assert set(vocabulary) == set(find_terms(spell(text)))


def test_on_english_texts_the_terms_are_those_of_scikit_learn(tmp_path: Path):
    _fit().save(tmp_path)
    texts = [text for label in QUESTIONS for text in QUESTIONS[label]]
    theirs = TfidfVectorizer(ngram_range=(1, 2)).fit(texts).get_feature_names_out().tolist()
    assert json.loads((tmp_path / "baseline.json").read_text("utf-8"))["vocabulary"] == theirs


@pytest.mark.parametrize(
    ("filler", "cues"),
    [
        ("यह है को में से वह मेरा था", {"भोजन": "रोटी दाल चाय सेब", "खेल": "गेंद दौड़ टीम जीत"}),
        ("הִוא זֶה אֶת עַל מִן גַּם", {"אוכל": "לֶחֶם מַיִם תֵּה", "ספורט": "כַּדּוּר רִיצָה נִצָּחוֹן"}),
        ("هُوَ فِي مِنْ عَلَى هَذَا", {"طعام": "خُبْز شَاي تُفَّاح", "رياضة": "كُرَة فَوْز فَرِيق"}),
        ("අය මේ එය සහ ඔබ", {"ශ්‍රී": "ක්‍රම ශ්‍රම", "ප්‍ර": "ප්‍රිය භ්‍රම"}),
    ],
)
def test_words_with_marks_are_told_apart(filler: str, cues: dict[str, str]):
    draw = random.Random(1)
    labels = list(cues) * 100
    texts = [
        " ".join([*draw.choices(filler.split(), k=4), draw.choice(cues[label].split())]) for label in labels
    ]
    fitted = fit_baseline(texts[:100], labels[:100], PARAMS)
    answers = [fitted.space.classes[i] for i in fitted.probabilities(texts[100:]).argmax(axis=1)]
    assert np.mean(np.array(answers) == labels[100:]) >= 0.95


def test_a_folder_written_before_words_had_marks_gives_its_old_probabilities(tmp_path: Path):
    pattern = r"[\u0e00-\u0e7f]|[^\W\u0e00-\u0e7f]{2,}"  # as those folders have it, shortened
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=pattern)
    texts, truth = ["café रोटी दाल", "ไม่ ok", "STRASSE straße"], ["a", "b", "c"]
    regression = LogisticRegression(C=10.0, max_iter=1000).fit(vectorizer.fit_transform(texts), truth)
    settings = {
        "labels": ["a", "b", "c"],
        "multi_label": False,
        "ngrams": 2,
        "token_pattern": pattern,
        "vocabulary": vectorizer.get_feature_names_out().tolist(),
    }
    (tmp_path / "baseline.json").write_text(json.dumps(settings), "utf-8")
    weights = {"idf": vectorizer.idf_, "coef": regression.coef_.copy("C"), "intercept": regression.intercept_}
    save_file(weights, tmp_path / "baseline.safetensors")
    theirs = regression.predict_proba(vectorizer.transform(texts))
    np.testing.assert_allclose(load_baseline(tmp_path).probabilities(texts), theirs, atol=1e-6)


def test_chinese_is_told_apart_by_its_letters():
    draw = random.Random(1)
    filler = [chr(code) for code in range(0x4E00, 0x4E00 + 300)]

    def text(cue: str) -> str:
        letters = draw.choices(filler, k=15)
        return "".join([*letters[:7], cue, *letters[7:]])

    labels = ["体育", "财经"] * 100
    texts = [text({"体育": "足球", "财经": "股票"}[label]) for label in labels]
    fitted = fit_baseline(texts[:100], labels[:100], PARAMS)
    answers = [fitted.space.classes[i] for i in fitted.probabilities(texts[100:]).argmax(axis=1)]
    assert answers == labels[100:]


@pytest.mark.parametrize(("one", "other"), [("😀 👍🏽", "😡"), ("y", "n")])
def test_texts_without_a_word_are_read_by_their_characters(one: str, other: str, tmp_path: Path):
    fitted = fit_baseline([one, other] * 5, ["good", "bad"] * 5, PARAMS)
    assert fitted.probabilities([one, other]).argmax(axis=1).tolist() == [1, 0]
    fitted.save(tmp_path)
    loaded = load_baseline(tmp_path)
    assert loaded.probabilities([one, other]).tobytes() == fitted.probabilities([one, other]).tobytes()


def test_longer_ngrams_are_more_terms(tmp_path: Path):
    _fit(params=section("baseline", ngrams=1)).save(tmp_path / "one")
    _fit(params=section("baseline", ngrams=3)).save(tmp_path / "three")
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
    assert fit_baseline(texts, labels, PARAMS).space.classes == ("HUM", "NUM")


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
    script = "import sys, bertline.models.tfidf; sys.exit('torch' in sys.modules)"
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
    return fit_baseline(list(labels), list(labels.values()), PARAMS, MULTI_LABEL)


def test_multi_label_probabilities_are_those_of_scikit_learns_one_against_the_rest():
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    one_vs_rest = OneVsRestClassifier(LogisticRegression(C=10.0, max_iter=1000))
    targets = MultiLabelBinarizer().fit_transform(
        [text.split("\x1f") if text else [] for text in SETS.values()]
    )
    pipeline = make_pipeline(vectorizer, one_vs_rest).fit(list(SETS), targets)
    fitted = _fit_sets()
    assert fitted.space == LabelSpace(("HUM", "LOC", "NUM"), multi_label=True)
    np.testing.assert_allclose(fitted.probabilities(NEW), pipeline.predict_proba(NEW), atol=1e-6)


def test_a_saved_multi_label_model_loads_to_exactly_the_same_probabilities(tmp_path: Path):
    fitted = _fit_sets(
        SETS | {"a label of every row": "ALL"} | {text: f"ALL\x1f{label}" for text, label in SETS.items()}
    )
    fitted.save(tmp_path)
    loaded = load_baseline(tmp_path)
    assert loaded.space == fitted.space
    assert loaded.probabilities(NEW).tobytes() == fitted.probabilities(NEW).tobytes()


def test_a_label_of_all_rows_is_always_predicted():
    fitted = _fit_sets({text: f"ALL\x1f{label}" if label else "ALL" for text, label in SETS.items()})
    assert fitted.space.classes[0] == "ALL"
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
    found = predict_out_of_fold(texts, labels, ids, PARAMS, MULTI_LABEL)
    for fold in (0, 1):
        outside, inside = ([i for i in range(12) if (folds[i] == fold) == which] for which in (False, True))
        fitted = fit_baseline([texts[i] for i in outside], [labels[i] for i in outside], PARAMS, MULTI_LABEL)
        assert found[inside].tobytes() == fitted.probabilities([texts[i] for i in inside]).tobytes()


def test_a_label_in_one_fold_only_has_probability_0_there():
    ids = [_content_id(0 if "NUM" in label else 1 + i % 2, i) for i, label in enumerate(SETS.values())]
    found = predict_out_of_fold(list(SETS), list(SETS.values()), ids, PARAMS, MULTI_LABEL)
    only = np.array(["NUM" in label for label in SETS.values()])
    assert (found[only, 2] == 0).all()
    assert (found[~only] > 0).all()


def test_scaled_logits_change_the_probabilities_and_no_answer():
    fitted = _fit()
    before = fitted.probabilities(NEW)
    fitted.scale_logits(np.full(3, 2.0))
    after = fitted.probabilities(NEW)
    squared = before**2 / (before**2).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(after, squared, rtol=1e-4)
    assert after.argmax(axis=1).tolist() == before.argmax(axis=1).tolist()


def test_a_label_that_all_rows_have_stays_certain_when_logits_are_scaled():
    fitted = fit_baseline(["who is", "where is"] * 4, ["A\x1fB", "A"] * 4, PARAMS, MULTI_LABEL)
    fitted.scale_logits(np.array([0.5, 0.5]))
    assert (fitted.probabilities(NEW)[:, 0] == 1).all()
