import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, f1_score

from bertline.metrics.intervals import Interval, interval, paired_difference

SETTINGS = {"resamples": 400, "confidence": 0.95, "seed": 7}


def _rows(rows: int, n_classes: int, right: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    expected = random.integers(n_classes, size=rows)
    guessed = (expected + random.integers(1, n_classes, size=rows)) % n_classes
    return expected, np.where(random.random(rows) < right, expected, guessed)


def test_a_report_names_the_value_and_the_ends_of_an_interval():
    found = Interval(0.5, 0.4, 0.7).named("loss")
    assert [*found.items()] == [("loss", 0.5), ("loss_low", 0.4), ("loss_high", 0.7)]


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


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_intervals_cover_the_truth_as_often_as_they_say(metric):
    covered = 0
    for seed in range(200):
        expected, predicted = _rows(400, 4, 0.85, seed)
        found = interval(expected, predicted, 4, metric, resamples=300, confidence=0.9, seed=seed)
        covered += found.low <= 0.85 <= found.high
    assert 168 <= covered <= 192  # 180 ± 3 standard deviations


@pytest.mark.parametrize("multi_label", [False, True])
def test_intervals_of_an_accuracy_near_1_cover_the_truth_with_few_rows(multi_label):
    covered = 0
    for seed in range(200):
        rows = _rows(50, 4, 0.98, seed)
        expected, predicted = (np.eye(4, dtype=np.uint8)[each] for each in rows) if multi_label else rows
        found = interval(expected, predicted, 4, "accuracy", **SETTINGS)
        covered += found.low <= 0.98 <= found.high
    assert covered >= 181  # 190 - 3 standard deviations; the bootstrap: some 130


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
    whole = interval(expected, predicted, 5, "macro_f1", **SETTINGS)
    monkeypatch.setattr("bertline.metrics.intervals._NUMBERS_AT_ONCE", 1000)
    assert interval(expected, predicted, 5, "macro_f1", **SETTINGS) == whole


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_what_a_model_may_differ_from_one_that_says_the_same_is_what_no_row_would_show(metric):
    expected, predicted = _rows(200, 3, 0.6, seed=5)
    found = paired_difference(expected, predicted, predicted, 3, metric, **SETTINGS)
    unseen = binomtest(0, 200).proportion_ci(0.95, method="exact").high
    assert (found.value, found.low, found.high) == pytest.approx((0, -unseen, unseen))


@pytest.mark.parametrize("rows", [15, 60])
def test_of_equally_good_models_one_seldom_seems_better_however_few_the_rows(rows):
    seemed = 0
    for seed in range(200):
        expected, a = _rows(rows, 2, 0.95, seed)
        b = np.where(np.random.default_rng(seed + 1000).random(rows) < 0.95, expected, 1 - expected)
        seemed += paired_difference(expected, a, b, 2, "macro_f1", **SETTINGS).low >= 0
    assert seemed <= 12  # 2.5 % of 200 are 5; the bootstrap alone: 82 and 17


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


def _label_rows(rows: int, labels: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return expected and two predictions: some rows without a label, one with all, a label that is rare."""
    random = np.random.default_rng(seed)
    shares = np.linspace(0.5, 0.04, labels)
    expected = (random.random((rows, labels)) < shares).astype(np.uint8)
    expected[0], expected[1] = 1, 0
    a, b = (np.where(random.random((rows, labels)) < noise, 1 - expected, expected) for noise in (0.1, 0.15))
    return expected, a, b


def _subset_accuracy_and_macro_f1(expected: np.ndarray, predicted: np.ndarray) -> tuple[float, float]:
    present = np.flatnonzero(expected.any(axis=0))
    f1 = f1_score(expected, predicted, labels=present, average="macro", zero_division=0)
    return float(accuracy_score(expected, predicted)), float(f1)


def _resampled_one_by_one(
    expected: np.ndarray, *predictions: np.ndarray, resamples: int = 600
) -> tuple[np.ndarray, np.ndarray]:
    """Return both metrics [resamples], or their differences, of rows drawn with replacement."""
    random = np.random.default_rng(99)
    found = []
    for _ in range(resamples):
        rows = random.integers(len(expected), size=len(expected))
        scores = []
        for predicted in predictions:
            truth, said = expected[rows], predicted[rows]
            f1 = [
                2 * (t & s).sum() / (t.sum() + s.sum())
                for t, s in zip(truth.T, said.T, strict=True)
                if t.any()
            ]
            scores.append(((truth == said).all(axis=1).mean(), np.mean(f1)))
        found.append(np.subtract(*scores) if len(scores) == 2 else scores[0])
    return tuple(np.array(found).T)


@given(st.integers(1, 60), st.integers(2, 9), st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_multi_label_values_are_those_of_scikit_learn(rows, labels, seed):
    random = np.random.default_rng(seed)
    expected, predicted = random.integers(2, size=(2, rows, labels), dtype=np.uint8)
    expected[:, 0] = 0  # a label that does not occur
    expected[0, 1] = 1
    reference = _subset_accuracy_and_macro_f1(expected, predicted)
    for metric, value in zip(("accuracy", "macro_f1"), reference, strict=True):
        found = interval(expected, predicted, labels, metric, **{**SETTINGS, "resamples": 100})
        assert found.value == pytest.approx(value, abs=1e-12)
        assert 0 <= found.low <= found.high <= 1


@pytest.mark.parametrize("labels", [2, 12])
def test_multi_label_resamples_equal_resampled_rows_scored_one_by_one(labels):
    expected, a, b = _label_rows(200, labels, seed=labels)
    settings = {"resamples": 4000, "confidence": 0.9, "seed": 2}
    alone, paired = _resampled_one_by_one(expected, a), _resampled_one_by_one(expected, a, b)
    for metric, scores, differences in zip(("accuracy", "macro_f1"), alone, paired, strict=True):
        found = interval(expected, a, labels, metric, **settings)
        assert (found.low, found.high) == pytest.approx(tuple(np.quantile(scores, [0.05, 0.95])), abs=0.012)
        found = paired_difference(expected, a, b, labels, metric, **settings)
        ends = tuple(np.quantile(differences, [0.05, 0.95]))
        assert (found.low, found.high) == pytest.approx(ends, abs=0.015)


def test_one_label_a_row_has_the_same_accuracy_and_f1_in_either_form():
    expected, predicted = _rows(400, 5, 0.8, seed=3)
    one_hot = np.eye(5, dtype=np.uint8)
    for metric in ("accuracy", "macro_f1"):
        single = interval(expected, predicted, 5, metric, **SETTINGS)
        multi = interval(one_hot[expected], one_hot[predicted], 5, metric, **SETTINGS)
        assert multi.value == pytest.approx(single.value, abs=1e-12)
        assert (multi.low, multi.high) == pytest.approx((single.low, single.high), abs=0.02)


def test_multi_label_chunks_do_not_change_the_interval(monkeypatch):
    expected, a, b = _label_rows(300, 8, seed=4)
    whole = paired_difference(expected, a, b, 8, "macro_f1", **SETTINGS)
    monkeypatch.setattr("bertline.metrics.intervals._NUMBERS_AT_ONCE", 1000)
    assert paired_difference(expected, a, b, 8, "macro_f1", **SETTINGS) == whole


def test_rows_without_any_label_have_a_macro_f1_of_zero_and_may_be_right():
    none = np.zeros((5, 3), dtype=np.uint8)
    found = interval(none, none, 3, "macro_f1", **SETTINGS)
    assert (found.value, found.low) == (0, 0)
    assert interval(none, none, 3, "accuracy", **SETTINGS).value == 1


@pytest.mark.parametrize("rows", [20, 500])
def test_all_right_or_all_wrong_on_few_rows_is_no_certainty(rows: int) -> None:
    expected = np.arange(rows) % 3
    for predicted, value in ((expected, 1.0), ((expected + 1) % 3, 0.0)):
        found = interval(expected, predicted, 3, "macro_f1", **SETTINGS)
        assert found.value == value
        assert found.high - found.low == pytest.approx(1 - 0.025 ** (1 / rows))
