import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from bertline.metrics.calibration import log_loss
from bertline.metrics.temperature import (
    BOUNDS,
    MIN_OF_LABEL,
    MIN_ROWS,
    Temperature,
    fit_temperature,
    from_record,
    to_logits,
    undo,
)


def drawn(rows: int, classes: int = 5, spread: float = 2.0, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return logits [N, C] and classes [N] that are drawn from them: the right temperature is 1."""
    random = np.random.default_rng(seed)
    logits_NC = random.normal(scale=spread, size=(rows, classes))
    borders = softmax(logits_NC, axis=1).cumsum(axis=1)[:, :-1]
    return logits_NC, (random.random((rows, 1)) > borders).sum(axis=1)


def drawn_sets(rows: int, classes: int = 3, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return logits [N, C] and label sets [N, C] that are drawn from them."""
    random = np.random.default_rng(seed)
    logits_NC = random.normal(scale=2.0, size=(rows, classes))
    return logits_NC, (random.random((rows, classes)) < expit(logits_NC)).astype(np.uint8)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_a_known_temperature_is_recovered(temperature: float) -> None:
    logits_NC, targets_N = drawn(20_000)
    found = fit_temperature(logits_NC * temperature, targets_N)
    assert found.values_C == pytest.approx(np.full(5, temperature), rel=0.03)


def test_with_several_labels_each_has_its_own_temperature() -> None:
    logits_NC, targets_NC = drawn_sets(20_000)
    found = fit_temperature(logits_NC * [0.5, 1.0, 4.0], targets_NC)
    assert found.values_C == pytest.approx([0.5, 1.0, 4.0], rel=0.05)


@pytest.mark.parametrize("flipped", [False, True])
def test_a_label_of_too_few_rows_takes_the_temperature_of_all(flipped: bool) -> None:
    logits_NC, targets_NC = drawn_sets(2_000, classes=4)
    logits_NC[:, :2] *= 3
    targets_NC[:, 2:] = flipped
    targets_NC[:MIN_OF_LABEL, 2] = not flipped
    targets_NC[: MIN_OF_LABEL - 1, 3] = not flipped
    found = fit_temperature(logits_NC, targets_NC).values_C
    together = fit_temperature(logits_NC.reshape(-1, 1), targets_NC.reshape(-1, 1)).values_C[0]
    assert found[3] == pytest.approx(together, rel=1e-2)
    assert len({*found}) == 4


def test_it_is_that_of_scikit_learn() -> None:
    logits_NC, targets_N = drawn(3_000)
    features = np.random.default_rng(2).normal(size=(3_000, 5)) + logits_NC
    fitted = FrozenEstimator(LogisticRegression(C=100.0).fit(features[:300], targets_N[:300]))
    theirs = CalibratedClassifierCV(fitted, method="temperature").fit(features[300:], targets_N[300:])
    expected = 1 / theirs.calibrated_classifiers_[0].calibrators[0].beta_
    ours = fit_temperature(fitted.decision_function(features[300:]), targets_N[300:])
    assert ours.values_C[0] == pytest.approx(expected, rel=5e-3)


def test_logits_that_say_nothing_get_the_upper_bound() -> None:
    random = np.random.default_rng(1)
    logits_NC = random.normal(scale=20, size=(1_000, 4))
    assert fit_temperature(logits_NC, random.integers(4, size=1_000)).values_C[0] == BOUNDS[1]


def test_faint_logits_that_are_always_right_get_the_lower_bound() -> None:
    targets_N = np.arange(300) % 3
    assert fit_temperature(np.eye(3)[targets_N], targets_N).values_C[0] == BOUNDS[0]


def test_a_few_rows_without_a_wrong_answer_do_not_make_the_model_certain() -> None:
    logits_NC, targets_N = drawn(50_000, classes=3, spread=4.0)
    right = np.flatnonzero(logits_NC.argmax(axis=1) == targets_N)[:60]
    found = fit_temperature(logits_NC[right], targets_N[right])
    chosen = softmax(logits_NC / found.values_C, axis=1)
    assert log_loss(targets_N, chosen) < 1.5 * log_loss(targets_N, softmax(logits_NC, axis=1))


def test_too_few_rows_are_said_and_change_nothing() -> None:
    logits_NC, targets_N = drawn(MIN_ROWS - 1)
    found = fit_temperature(logits_NC * 3, targets_N)
    assert found.values_C.tolist() == [1.0] * 5
    assert found.reason == f"{MIN_ROWS - 1} rows are too few to fit a temperature; {MIN_ROWS} are needed"
    assert not found.applied


def test_logits_that_are_all_equal_keep_their_temperature() -> None:
    found = fit_temperature(np.full((100, 3), 0.7, np.float32), np.arange(100) % 3)
    assert found.values_C.tolist() == [1.0] * 3


def test_rows_with_a_logit_that_is_no_number_do_not_count() -> None:
    logits_NC, targets_N = drawn(500)
    more_NC = np.concatenate([logits_NC, np.full((50, 5), np.nan), np.full((50, 5), -np.inf)])
    found = fit_temperature(more_NC, np.concatenate([targets_N, np.zeros(100, np.int64)]))
    assert found.values_C.tolist() == fit_temperature(logits_NC, targets_N).values_C.tolist()


def test_rows_beyond_what_is_computed_at_once_count(monkeypatch: pytest.MonkeyPatch) -> None:
    logits_NC, targets_N = drawn(1_000)
    whole = fit_temperature(logits_NC, targets_N)
    monkeypatch.setattr("bertline.metrics.temperature.NUMBERS_AT_ONCE", 64)
    assert fit_temperature(logits_NC, targets_N).values_C.tolist() == whole.values_C.tolist()


@pytest.mark.parametrize("temperature", [0.3, 1.7, 9.0])
def test_the_probabilities_before_are_found_again(temperature: float) -> None:
    logits_NC, _ = drawn(200)
    after_NC = softmax(logits_NC / temperature, axis=1).astype(np.float32)
    found_NC = undo(after_NC, Temperature(np.full(5, temperature)), multi_label=False)
    np.testing.assert_allclose(found_NC, softmax(logits_NC, axis=1), rtol=1e-4)


def test_the_probabilities_of_several_labels_before_are_found_again() -> None:
    logits_NC, _ = drawn_sets(200)
    values_C = np.array([0.6, 1.0, 5.0])
    after_NC = expit(logits_NC / values_C).astype(np.float32)
    found_NC = undo(after_NC, Temperature(values_C), multi_label=True)
    np.testing.assert_allclose(found_NC, expit(logits_NC), atol=1e-4)


def test_certain_probabilities_have_finite_logits() -> None:
    certain = np.array([[0.0, 1.0]], np.float32)
    for several in (False, True):
        assert np.isfinite(to_logits(certain, multi_label=several)).all()


@pytest.mark.parametrize("several", [False, True])
def test_what_a_file_records_is_read_again(several: bool) -> None:
    values_C = np.array([0.5, 2.0]) if several else np.array([2.0, 2.0])
    record = Temperature(values_C).record(("a", "b"), multi_label=several)
    assert record == ({"a": 0.5, "b": 2.0} if several else 2.0)
    assert from_record(record, ("a", "b")).values_C.tolist() == values_C.tolist()


def test_probabilities_that_are_right_are_rarely_touched() -> None:
    samples = [drawn(400, seed=seed) for seed in range(200)]
    found = [fit_temperature(*sample) for sample in samples]
    touched = [each for each in found if each.applied]
    assert len(touched) < 20
    assert {each.reason for each in found if each not in touched} == {
        "the rows do not show that another temperature lowers the log-loss"
    }
