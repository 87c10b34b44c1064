import numpy as np
import pytest
from sklearn import metrics

from bertline.metrics.calibration import (
    Floor,
    brier,
    calibration_error,
    calibration_floor,
    log_loss,
    reliability,
)


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
    # Two bins of two rows: 0.9 and 0.8 sure, one right; 0.6 and 0.5 sure, both right.
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.5, 0.5]])
    error = calibration_error(np.array([0, 1, 0, 0]), probabilities, bins=2)
    assert error == pytest.approx(((0.85 - 0.5) + (1 - 0.55)) / 2)


def test_equal_confidences_share_a_bin_in_any_order_of_the_rows():
    sure = np.array([0.9, 0.6, 0.9, 0.6, 0.9, 0.9])
    probabilities = np.stack([sure, 1 - sure], axis=1)
    expected = np.array([0, 0, 1, 1, 0, 0])
    assert reliability(expected, probabilities, bins=3).rows.tolist() == [2, 4]
    order = np.array([5, 3, 1, 0, 2, 4])
    assert calibration_error(expected[order], probabilities[order], bins=3) == pytest.approx(
        calibration_error(expected, probabilities, bins=3)
    )


def test_calibration_error_is_small_when_labels_are_drawn_from_the_probabilities():
    random = np.random.default_rng(1)
    probabilities = random.dirichlet(np.ones(3) * 0.4, size=20_000)
    drawn = (random.random((20_000, 1)) > probabilities.cumsum(axis=1)[:, :-1]).sum(axis=1)
    assert calibration_error(drawn, probabilities) < 0.015
    assert calibration_error(np.zeros(20_000, dtype=int), probabilities) > 0.3


def test_every_row_is_in_one_bin_and_bins_are_equally_full_and_in_order():
    expected, probabilities = _random(500, 4)
    bins = reliability(expected, probabilities, bins=10)
    assert bins.rows.tolist() == [50] * 10
    assert (np.diff(bins.confidence) > 0).all()


@pytest.mark.parametrize("n_classes", [2, 5])
def test_the_brier_score_is_that_of_scikit_learn(n_classes: int):
    expected, probabilities = _random(300, n_classes)
    theirs = metrics.brier_score_loss(
        expected,
        probabilities if n_classes > 2 else probabilities[:, 1],
        labels=range(n_classes),
    )
    assert brier(expected, probabilities) == pytest.approx(theirs)


def test_the_multi_label_brier_score_is_the_mean_of_that_of_each_label():
    random = np.random.default_rng(3)
    probabilities = random.random((200, 4)).astype(np.float32)
    expected = (random.random((200, 4)) < 0.4).astype(np.uint8)
    by_label = [metrics.brier_score_loss(expected[:, i], probabilities[:, i].astype(float)) for i in range(4)]
    assert brier(expected, probabilities) == pytest.approx(np.mean(by_label))


def _drawn_errors(probabilities: np.ndarray, draws: int, *, multi_label: bool) -> np.ndarray:
    """Return the calibration errors of `draws` sets of labels that are drawn from `probabilities`."""
    random = np.random.default_rng(7)
    errors = []
    for _ in range(draws):
        if multi_label:
            expected = (random.random(probabilities.shape) < probabilities).astype(np.uint8)
        else:
            borders = probabilities.cumsum(axis=1)[:, :-1]
            expected = (random.random((len(probabilities), 1)) > borders).sum(axis=1)
        errors.append(calibration_error(expected, probabilities))
    return np.array(errors)


@pytest.mark.parametrize("rows", [100, 778, 4_000])
@pytest.mark.parametrize("multi_label", [False, True])
def test_the_floor_is_the_error_of_labels_drawn_from_the_probabilities(rows: int, multi_label: bool):
    _, probabilities = _random(rows, 4)
    floor = calibration_floor(probabilities, multi_label=multi_label, resamples=2000, seed=1)
    drawn = _drawn_errors(probabilities, 400, multi_label=multi_label)
    assert floor.mean == pytest.approx(drawn.mean(), rel=0.05)
    assert floor.high == pytest.approx(np.quantile(drawn, 0.95), rel=0.1)


def test_the_floor_falls_with_the_rows_and_is_the_same_every_time():
    floors = [
        calibration_floor(_random(rows, 4)[1], multi_label=False, resamples=300, seed=1)
        for rows in (200, 2_000, 2_000, 20_000)
    ]
    assert floors[0].mean > 2 * floors[1].mean > 4 * floors[3].mean
    assert floors[1] == floors[2]


def test_the_floor_of_certain_probabilities_is_nothing():
    certain = np.eye(3, dtype=np.float32)[np.arange(60) % 3]
    assert calibration_floor(certain, multi_label=False, resamples=50, seed=1) == Floor(0.0, 0.0)


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
