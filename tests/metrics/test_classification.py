from typing import Any

import numpy as np
import pytest
from sklearn import metrics as reference

from bertline.metrics.classification import (
    accuracy,
    correct_rows,
    macro_f1,
    predict_classes,
)
from bertline.metrics.predictions import Predictions


def of(function: Any, predictions: Predictions) -> Any:
    return function(predictions.expected, predictions.predicted, len(predictions.classes))


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
    assert accuracy(expected, predicted) == reference.accuracy_score(expected, predicted)
    assert of(macro_f1, predictions) == pytest.approx(
        reference.f1_score(expected, predicted, average="macro"), abs=1e-15
    )


def test_a_class_without_rows_leaves_the_macro_mean_alone():
    assert macro_f1(np.array([0, 1]), np.array([0, 1]), 3) == 1


def test_a_probability_of_exactly_one_half_predicts_a_class():
    half = np.array([[0.5, np.nextafter(np.float32(0.5), 0)]], dtype=np.float32)
    assert predict_classes(half, like=np.array([[1, 0]])).tolist() == [[1, 0]]


def test_of_equal_scores_the_first_class_is_predicted():
    assert predict_classes(np.array([[0.5, 0.5]]), like=np.array([1])).tolist() == [0]


def test_a_row_with_several_labels_is_correct_if_all_are():
    expected = np.array([[1, 0], [1, 1]], dtype=np.uint8)
    assert correct_rows(expected, np.array([[1, 0], [1, 0]], dtype=np.uint8)).tolist() == [True, False]


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
    assert accuracy(expected, predicted) == (expected == predicted).all(axis=1).mean()
    assert of(macro_f1, label_sets) == pytest.approx(reference.f1_score(expected, predicted, average="macro"))


def test_a_label_that_no_row_has_leaves_the_multi_label_macro_mean_alone(label_sets: Predictions):
    wider = label_sets.over((*label_sets.classes, "z"))
    wider.probabilities[:, -1] = 0.9  # predicted for every row, true of none
    assert of(macro_f1, wider) == of(macro_f1, label_sets)


def test_rows_without_any_label_can_be_scored():
    expected = np.zeros((2, 2), dtype=np.uint8)
    predicted = np.array([[0, 0], [0, 1]], dtype=np.uint8)
    assert (accuracy(expected, predicted), macro_f1(expected, predicted, 2)) == (0.5, 0)
