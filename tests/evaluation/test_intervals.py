import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from bertline.evaluation.intervals import Interval, interval, paired_difference

SETTINGS = {"resamples": 400, "confidence": 0.95, "seed": 7}


def _rows(rows: int, n_classes: int, right: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    expected = random.integers(n_classes, size=rows)
    guessed = (expected + random.integers(1, n_classes, size=rows)) % n_classes
    return expected, np.where(random.random(rows) < right, expected, guessed)


@pytest.mark.parametrize("n_classes", [2, 6, 40])
def test_value_is_that_of_scikit_learn(n_classes):
    expected, predicted = _rows(500, n_classes, 0.8, seed=n_classes)
    accuracy = interval(expected, predicted, n_classes, "accuracy", **SETTINGS)
    macro_f1 = interval(expected, predicted, n_classes, "macro_f1", **SETTINGS)
    assert accuracy.value == pytest.approx(accuracy_score(expected, predicted), abs=1e-12)
    assert macro_f1.value == pytest.approx(f1_score(expected, predicted, average="macro"), abs=1e-12)


def test_macro_f1_leaves_out_a_class_that_no_row_expects():
    expected, predicted = np.array([0, 0, 1, 1]), np.array([0, 2, 1, 1])
    value = interval(expected, predicted, 4, "macro_f1", **SETTINGS).value
    assert value == pytest.approx((2 / 3 + 1) / 2)
    assert value == pytest.approx(f1_score(expected, predicted, labels=[0, 1], average="macro"))


def test_resamples_equal_resampled_rows_scored_one_by_one():
    expected, predicted = _rows(300, 3, 0.8, seed=1)
    found = interval(expected, predicted, 3, "macro_f1", resamples=4000, confidence=0.9, seed=2)
    random = np.random.default_rng(3)
    scores = []
    for _ in range(800):
        rows = random.integers(300, size=300)
        scores.append(f1_score(expected[rows], predicted[rows], average="macro"))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(scores, [0.05, 0.95])), abs=0.006)


def test_intervals_cover_the_truth_as_often_as_they_say():
    covered = 0
    for seed in range(200):
        expected, predicted = _rows(400, 4, 0.85, seed)
        found = interval(expected, predicted, 4, "accuracy", resamples=300, confidence=0.9, seed=seed)
        covered += found.low <= 0.85 <= found.high
    assert 170 <= covered <= 192  # 180 ± 3 standard deviations


def test_higher_confidence_contains_the_lower_and_the_value():
    expected, predicted = _rows(400, 5, 0.7, seed=4)
    narrow = interval(expected, predicted, 5, "macro_f1", resamples=500, confidence=0.5, seed=1)
    wide = interval(expected, predicted, 5, "macro_f1", resamples=500, confidence=0.99, seed=1)
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high


def test_same_seed_same_interval_and_another_seed_another():
    expected, predicted = _rows(400, 5, 0.7, seed=4)
    first = interval(expected, predicted, 5, "macro_f1", **SETTINGS)
    assert interval(expected, predicted, 5, "macro_f1", **SETTINGS) == first
    assert interval(expected, predicted, 5, "macro_f1", **{**SETTINGS, "seed": 8}) != first


def test_chunks_do_not_change_the_interval(monkeypatch):
    expected, predicted = _rows(400, 5, 0.7, seed=4)
    whole = interval(expected, predicted, 5, "accuracy", **SETTINGS)
    monkeypatch.setattr("bertline.evaluation.intervals._NUMBERS_AT_ONCE", 1000)
    assert interval(expected, predicted, 5, "accuracy", **SETTINGS) == whole


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_a_model_does_not_differ_from_itself(metric):
    expected, predicted = _rows(200, 3, 0.6, seed=5)
    assert paired_difference(expected, predicted, predicted, 3, metric, **SETTINGS) == Interval(0, 0, 0)


def test_swapping_the_models_flips_the_difference():
    expected, a = _rows(500, 3, 0.9, seed=6)
    b = np.where(np.random.default_rng(1).random(500) < 0.2, 0, a)
    there = paired_difference(expected, a, b, 3, "macro_f1", resamples=3000, confidence=0.95, seed=1)
    back = paired_difference(expected, b, a, 3, "macro_f1", resamples=3000, confidence=0.95, seed=1)
    assert there.value == -back.value > 0
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low), abs=0.01)


def test_pairing_is_narrower_than_the_difference_of_independent_samples():
    expected, a = _rows(500, 3, 0.7, seed=6)
    b = np.where(np.arange(500) < 20, expected, a)  # the same answers but for a few rows
    paired = paired_difference(expected, b, a, 3, "accuracy", **SETTINGS)
    alone = interval(expected, a, 3, "accuracy", **SETTINGS)
    assert paired.high - paired.low < 0.5 * (alone.high - alone.low)
