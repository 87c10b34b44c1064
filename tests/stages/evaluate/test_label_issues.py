import warnings

import numpy as np
import pyarrow as pa
import pytest

from bertline.metrics.predictions import Predictions
from bertline.params.baseline import Params
from bertline.rows.io import read_rows
from bertline.rows.labels import LabelSpace
from bertline.stages.baseline.fit import predict_out_of_fold
from bertline.stages.evaluate.label_issues import find_label_issues
from bertline.stages.ingest.stage import ingest
from tests.support.params import section, write_params

PARAMS: Params = section("baseline")
QUESTIONS, CHANGED = 2000, 60


def _predictions(probabilities: list[list[float]], expected: list[int]) -> Predictions:
    return Predictions(
        ids=[str(i) for i in range(len(expected))],
        classes=tuple("abcdef"[: len(probabilities[0])]),
        expected=np.array(expected),
        probabilities=np.array(probabilities, dtype=np.float32),
    )


@pytest.fixture(scope="module")
def trec(tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """Questions of the TREC sample, the same ones every time."""
    folder = tmp_path_factory.mktemp("trec")
    write_params(folder, ingest={"source": "sample:trec"})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        ingest(rows=folder / "rows.parquet", report=folder / "ingest.json")
    return read_rows(folder / "rows.parquet").sort_by("id").slice(0, QUESTIONS)


@pytest.fixture(scope="module")
def changed(trec: pa.Table) -> tuple[set[int], Predictions]:
    """Which rows were given a wrong label, and what models say that did not see the row."""
    random = np.random.default_rng(0)
    labels = trec["label"].to_pylist()
    classes = tuple(sorted(set(labels)))
    rows = random.permutation(QUESTIONS)[:CHANGED].tolist()
    for row in rows:
        labels[row] = str(random.choice([label for label in classes if label != labels[row]]))
    predictions = Predictions(
        ids=trec["id"].to_pylist(),
        classes=classes,
        expected=np.array([classes.index(label) for label in labels]),
        probabilities=predict_out_of_fold(
            trec["text"].to_pylist(), labels, trec["content_id"].to_pylist(), PARAMS
        ),
    )
    return set(rows), predictions


def test_most_labels_that_were_changed_are_found(changed: tuple[set[int], Predictions]):
    rows, predictions = changed
    found = find_label_issues(predictions)["row"].to_pylist()
    hits = rows & set(found)
    assert len(hits) / CHANGED > 0.6  # measured on seven draws: 0.73 to 0.85
    assert len(hits) / len(found) > 0.2  # measured: 0.30 to 0.37; TF-IDF is wrong on a quarter of the rows


def test_the_most_suspicious_labels_are_mostly_wrong(changed: tuple[set[int], Predictions]):
    rows, predictions = changed
    found = find_label_issues(predictions)["row"].to_pylist()
    assert len(rows & set(found[:30])) / 30 > 0.45  # measured: 0.60 to 0.80
    assert len(rows & set(found[:30])) / 30 > 1.3 * len(rows & set(found)) / len(found)


def test_the_same_predictions_give_the_same_issues(changed: tuple[set[int], Predictions]):
    first, second = (find_label_issues(changed[1]) for _ in range(2))
    assert first.equals(second)


def test_a_found_row_is_never_one_the_model_agrees_with(changed: tuple[set[int], Predictions]):
    predictions = changed[1]
    found = find_label_issues(predictions)
    rows = found["row"].to_numpy()
    assert found["given"].to_pylist() == [predictions.classes[i] for i in predictions.expected[rows]]
    assert found["suggested"].to_pylist() == [predictions.classes[i] for i in predictions.predicted[rows]]
    assert not (predictions.expected[rows] == predictions.predicted[rows]).any()
    assert found["score"].to_pylist() == sorted(found["score"].to_pylist())


def test_labels_that_the_model_is_sure_of_give_none():
    random = np.random.default_rng(0)
    expected = random.integers(3, size=300)
    sure = np.full((300, 3), 0.05) + 0.85 * np.eye(3)[expected]
    assert find_label_issues(_predictions(sure.tolist(), expected.tolist())).num_rows == 0


def test_rows_that_the_model_is_unsure_of_are_not_doubted():
    sure, unsure = [[0.9, 0.1], [0.1, 0.9]], [0.45, 0.55]
    predictions = _predictions(sure * 20 + [unsure], [0, 1] * 20 + [0])
    assert find_label_issues(predictions).num_rows == 0


def test_one_wrong_label_of_two_classes_is_found():
    predictions = _predictions([[0.9, 0.1], [0.1, 0.9]] * 20 + [[0.02, 0.98]], [0, 1] * 20 + [0])
    assert find_label_issues(predictions).to_pylist() == [
        {"row": 40, "given": "a", "suggested": "b", "score": 0.02}
    ]


def test_a_class_with_one_row_prints_and_warns_nothing(capfd: pytest.CaptureFixture[str]):
    probabilities = [[0.9, 0.06, 0.04], [0.1, 0.86, 0.04]] * 20 + [[0.95, 0.03, 0.02]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        find_label_issues(_predictions(probabilities, [0, 1] * 20 + [2]))
    assert capfd.readouterr() == ("", "")


def test_a_class_without_rows_is_allowed():
    predictions = _predictions(
        [[0.9, 0.1, 0.0], [0.1, 0.9, 0.0]] * 20 + [[0.02, 0.98, 0.0]], [0, 1] * 20 + [0]
    )
    assert find_label_issues(predictions)["row"].to_pylist() == [40]


def test_a_row_of_a_class_the_model_never_saw_is_not_judged():
    predictions = _predictions(
        [[0.9, 0.1, 0.0], [0.1, 0.9, 0.0]] * 20 + [[0.9, 0.1, 0.0]] * 3, [0, 1] * 20 + [2] * 3
    )
    assert find_label_issues(predictions).num_rows == 0


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_rows_of_a_single_class_give_none(rows: int):
    predictions = Predictions(
        ids=["x"] * rows,
        classes=("a", "b"),
        expected=np.zeros(rows, dtype=np.int64),
        probabilities=np.tile(np.array([[0.2, 0.8]], dtype=np.float32), (rows, 1)),
    )
    assert find_label_issues(predictions).num_rows == 0


@pytest.fixture(scope="module")
def changed_sets(trec: pa.Table) -> tuple[set[int], Predictions]:
    """Rows of one to three questions and all their labels: in which one was added or taken away."""
    random = np.random.default_rng(0)
    texts, labels = trec["text"].to_pylist(), trec["label"].to_pylist()
    classes = tuple(sorted(set(labels)))
    chosen = [
        random.choice(len(texts), random.choice([1, 2, 3], p=[0.5, 0.35, 0.15]), replace=False).tolist()
        for _ in range(QUESTIONS)
    ]
    expected = np.zeros((QUESTIONS, len(classes)), dtype=np.uint8)
    for row, parts in enumerate(chosen):
        expected[row, [classes.index(labels[i]) for i in parts]] = 1
    rows = random.permutation(QUESTIONS)[:CHANGED]
    expected[rows, random.integers(len(classes), size=CHANGED)] ^= 1
    space = LabelSpace(classes, multi_label=True)
    probabilities = predict_out_of_fold(
        [" ".join(texts[i] for i in parts) for parts in chosen],
        space.decode(expected),
        [f"{i:032x}" for i in range(QUESTIONS)],
        PARAMS,
        space,
    )
    ids = [str(i) for i in range(QUESTIONS)]
    predictions = Predictions(ids=ids, classes=classes, expected=expected, probabilities=probabilities)
    return set(rows.tolist()), predictions


def test_most_labels_that_were_added_or_taken_away_are_found(changed_sets: tuple[set[int], Predictions]):
    rows, predictions = changed_sets
    found = find_label_issues(predictions)["row"].to_pylist()
    assert len(rows & set(found)) / CHANGED > 0.5  # measured on eight draws: 0.62 to 0.78
    assert len(rows & set(found)) / len(found) > 0.09  # measured: 0.13 to 0.16, where 0.03 were changed
    assert len(rows & set(found[:30])) / 30 > 0.25  # measured: 0.37 to 0.57


def test_what_is_suggested_of_a_row_is_what_the_model_says_of_each_label_it_doubts(
    changed_sets: tuple[set[int], Predictions],
):
    predictions = changed_sets[1]
    found = find_label_issues(predictions)
    rows = found["row"].to_numpy()
    given, suggested = (predictions.space.encode(found[name].to_pylist()) for name in ("given", "suggested"))
    assert given.tolist() == predictions.expected[rows].tolist()
    doubted = given != suggested
    assert doubted.any(axis=1).all()
    assert (suggested[doubted] == predictions.predicted[rows][doubted]).all()
    assert found["score"].to_pylist() == sorted(found["score"].to_pylist())
    assert len(set(rows.tolist())) == len(rows)


def test_a_label_too_many_and_one_too_few_are_found_in_one_row():
    sure = np.tile(np.array([[0.9, 0.1], [0.1, 0.9]], dtype=np.float32), (20, 1))
    predictions = Predictions(
        ids=[str(i) for i in range(41)],
        classes=("a", "b"),
        expected=np.array([[1, 0], [0, 1]] * 20 + [[1, 0]], dtype=np.uint8),
        probabilities=np.vstack([sure, np.array([[0.02, 0.97]], dtype=np.float32)]),
    )
    assert find_label_issues(predictions).to_pylist() == [
        {"row": 40, "given": "a", "suggested": "b", "score": pytest.approx(0.02)}
    ]


def test_labels_that_all_rows_or_none_have_are_not_doubted():
    predictions = Predictions(
        ids=["x"] * 30,
        classes=("all", "none"),
        expected=np.tile(np.array([[1, 0]], dtype=np.uint8), (30, 1)),
        probabilities=np.tile(np.array([[0.2, 0.8]], dtype=np.float32), (30, 1)),
    )
    assert find_label_issues(predictions).num_rows == 0
