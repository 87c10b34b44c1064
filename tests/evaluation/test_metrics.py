import os
import subprocess
import sys
from pathlib import Path

import evaluate
import numpy as np
import pytest
from sklearn import metrics as reference

from bertline.evaluation.metrics import (
    Accuracy,
    MacroF1,
    MatthewsCorrelation,
    MicroF1,
    PerClass,
    per_class,
    scores,
)
from bertline.evaluation.predictions import Predictions


@pytest.fixture(params=[2, 5, 30])
def predictions(request: pytest.FixtureRequest) -> Predictions:
    n_classes = request.param
    random = np.random.default_rng(n_classes)
    probabilities = random.dirichlet(np.ones(n_classes), size=400).astype(np.float32)
    return Predictions(
        ids=[str(i) for i in range(400)],
        classes=tuple(f"{i:02}" for i in range(n_classes)),
        expected=random.integers(n_classes, size=400),
        probabilities=probabilities,
    )


def test_scores_are_those_of_scikit_learn(predictions: Predictions):
    expected, predicted = predictions.expected, predictions.predicted
    found = scores(predictions)
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(expected, predicted))
    assert found["macro_f1"] == pytest.approx(reference.f1_score(expected, predicted, average="macro"))
    assert found["mcc"] == pytest.approx(reference.matthews_corrcoef(expected, predicted))


def test_per_class_scores_are_those_of_scikit_learn(predictions: Predictions):
    found = per_class(predictions)
    expected, predicted = predictions.expected, predictions.predicted
    assert list(found) == list(predictions.classes)
    precision = reference.precision_score(expected, predicted, average=None)
    recall = reference.recall_score(expected, predicted, average=None)
    assert [row["precision"] for row in found.values()] == pytest.approx(precision)
    assert [row["recall"] for row in found.values()] == pytest.approx(recall)
    assert sum(row["support"] for row in found.values()) == len(expected)


def test_a_class_without_rows_has_scores_of_zero_and_leaves_the_macro_mean_alone():
    predictions = Predictions(
        ids=["a", "b"],
        classes=("x", "y", "z"),
        expected=np.array([0, 1]),
        probabilities=np.eye(3, dtype=np.float32)[:2],
    )
    assert per_class(predictions)["z"] == {"precision": 0, "recall": 0, "f1": 0, "support": 0}
    assert scores(predictions)["macro_f1"] == 1


@pytest.mark.parametrize("metric", [Accuracy, MacroF1, MicroF1, MatthewsCorrelation, PerClass])
def test_modules_are_evaluate_metrics_that_say_what_they_measure(
    metric: type[evaluate.Metric], tmp_path: Path
):
    module = metric(keep_in_memory=True, cache_dir=str(tmp_path))
    assert isinstance(module, evaluate.Metric)
    assert module.description == metric.__doc__


def test_a_module_takes_its_rows_in_batches_as_evaluate_does(tmp_path: Path):
    module = Accuracy(keep_in_memory=True, cache_dir=str(tmp_path))
    module.add_batch(predictions=[0, 1], references=[0, 1])
    module.add_batch(predictions=[1, 1], references=[1, 0])
    assert module.compute() == {"accuracy": 0.75}


def test_scoring_leaves_nothing_in_the_home_folder(tmp_path: Path):
    script = """
import numpy as np
from bertline.evaluation.metrics import per_class, scores
from bertline.evaluation.predictions import Predictions
p = Predictions(ids=["a", "b"], classes=("x", "y"), expected=np.array([0, 1]),
                probabilities=np.eye(2, dtype=np.float32))
assert scores(p)["accuracy"] == 1 and per_class(p)["y"]["recall"] == 1
"""
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "HF_HOME": str(tmp_path)}
    offline = {"HF_HUB_OFFLINE": "1", "HF_EVALUATE_OFFLINE": "1"}
    subprocess.run([sys.executable, "-c", script], env=os.environ | home | offline, check=True)
    assert list(tmp_path.rglob("*")) == []


@pytest.fixture(params=[2, 6, 40])
def label_sets(request: pytest.FixtureRequest) -> Predictions:
    labels = request.param
    random = np.random.default_rng(labels)
    expected = (random.random((400, labels)) < 0.15).astype(np.uint8)
    expected[0], expected[1] = 1, 0
    return Predictions(
        ids=[str(i) for i in range(400)],
        classes=tuple(f"{i:02}" for i in range(labels)),
        expected=expected,
        probabilities=random.beta(1 + 2 * expected, 2).astype(np.float32),
    )


def test_multi_label_scores_are_those_of_scikit_learn(label_sets: Predictions):
    expected, predicted = label_sets.expected, label_sets.predicted
    found = scores(label_sets)
    assert 0 < found.pop("calibration_error") < 1
    assert found == {
        "accuracy": pytest.approx((expected == predicted).all(axis=1).mean()),
        "macro_f1": pytest.approx(reference.f1_score(expected, predicted, average="macro")),
        "micro_f1": pytest.approx(reference.f1_score(expected, predicted, average="micro")),
        "log_loss": pytest.approx(
            np.mean(
                [
                    reference.log_loss(one, chance.astype(np.float64))
                    for one, chance in zip(expected.T, label_sets.probabilities.T, strict=True)
                ]
            )
        ),
    }


def test_multi_label_scores_by_label_are_those_of_scikit_learn(label_sets: Predictions):
    found = per_class(label_sets)
    assert list(found) == list(label_sets.classes)
    columns = reference.precision_recall_fscore_support(
        label_sets.expected, label_sets.predicted, average=None, zero_division=0
    )
    for name, column in zip(("precision", "recall", "f1", "support"), columns, strict=True):
        assert [row[name] for row in found.values()] == pytest.approx(column)


def test_a_label_that_no_row_has_leaves_the_multi_label_macro_mean_alone(label_sets: Predictions):
    wider = label_sets.over((*label_sets.classes, "z"))
    wider.probabilities[:, -1] = 0.9  # said of every row, true of none
    assert per_class(wider)["z"] == {"precision": 0, "recall": 0, "f1": 0, "support": 0}
    assert scores(wider)["macro_f1"] == scores(label_sets)["macro_f1"]
    assert scores(wider)["micro_f1"] < scores(label_sets)["micro_f1"]


def test_rows_without_any_label_can_be_scored():
    predictions = Predictions(
        ids=["a", "b"],
        classes=("x", "y"),
        expected=np.zeros((2, 2), dtype=np.uint8),
        probabilities=np.array([[0.1, 0.2], [0.1, 0.9]], dtype=np.float32),
    )
    found = scores(predictions)
    assert (found["accuracy"], found["macro_f1"], found["micro_f1"]) == (0.5, 0, 0)
