import numpy as np
import pytest
from sklearn import metrics

from bertline.metrics.calibration import calibration_error, log_loss, reliability


def _random(rows: int, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(rows)
    return random.integers(n_classes, size=rows), random.dirichlet(np.ones(n_classes), size=rows)


def test_log_loss_is_that_of_scikit_learn():
    expected, probabilities = _random(300, 5)
    assert log_loss(expected, probabilities) == pytest.approx(
        metrics.log_loss(expected, probabilities, labels=range(5))
    )


def test_log_loss_of_a_class_held_impossible_is_finite():
    assert np.isfinite(log_loss(np.array([1]), np.array([[1.0, 0.0]], dtype=np.float32)))


def test_calibration_error_of_a_small_example_worked_by_hand():
    # 0.95 sure and right half of the time: gap 0.45. 0.65 sure and always right: gap 0.35. Two rows each.
    probabilities = np.array([[0.95, 0.05], [0.95, 0.05], [0.65, 0.35], [0.65, 0.35]])
    assert calibration_error(np.array([0, 1, 0, 0]), probabilities) == pytest.approx((0.45 + 0.35) / 2)


def test_calibration_error_is_small_when_labels_are_drawn_from_the_probabilities():
    random = np.random.default_rng(1)
    probabilities = random.dirichlet(np.ones(3) * 0.4, size=20_000)
    drawn = (random.random((20_000, 1)) > probabilities.cumsum(axis=1)[:, :-1]).sum(axis=1)
    assert calibration_error(drawn, probabilities) < 0.015
    assert calibration_error(np.zeros(20_000, dtype=int), probabilities) > 0.3


def test_every_row_is_in_one_bin_and_a_bin_holds_its_confidences():
    expected, probabilities = _random(500, 4)
    bins = reliability(expected, probabilities, bins=10)
    assert bins.rows.sum() == 500
    assert (np.diff(np.ceil(bins.confidence * 10)) >= 1).all()


def test_full_confidence_belongs_to_the_last_bin():
    bins = reliability(np.array([0, 0]), np.array([[1.0, 0.0], [0.96, 0.04]]))
    assert bins.rows.tolist() == [2]


def test_a_confidence_on_the_border_of_two_bins_belongs_to_the_lower():
    bins = reliability(np.array([0, 0]), np.array([[0.5, 0.5], [0.4, 0.6]]), bins=2)  # ]0, 0.5], ]0.5, 1]
    assert bins.rows.tolist() == [1, 1]


def test_multi_label_numbers_are_those_of_one_binary_answer_per_row_and_label():
    random = np.random.default_rng(3)
    probabilities = random.random((200, 4)).astype(np.float32)
    expected = (random.random((200, 4)) < probabilities).astype(np.uint8)
    by_label = [metrics.log_loss(expected[:, i], probabilities[:, i].astype(float)) for i in range(4)]
    assert log_loss(expected, probabilities) == pytest.approx(np.mean(by_label), rel=1e-5)
    bins = reliability(expected, probabilities)
    assert bins.rows.sum() == 800
    assert bins.confidence.min() >= 0.5
    right = (probabilities >= 0.5) == expected
    assert (bins.rows * bins.accuracy).sum() == pytest.approx(right.sum())


def test_multi_label_calibration_error_worked_by_hand():
    # Surely yes and right, surely no and wrong: both 0.9 sure, right half of the time.
    error = calibration_error(np.array([[1, 1]]), np.array([[0.9, 0.1]]))
    assert error == pytest.approx(0.4)


def test_a_probability_of_one_half_predicts_the_label():
    half = np.array([[0.5]], dtype=np.float32)
    assert reliability(np.array([[1]]), half).accuracy.tolist() == [1]
    assert reliability(np.array([[0]]), half).accuracy.tolist() == [0]
