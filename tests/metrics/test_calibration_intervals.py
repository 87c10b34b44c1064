import numpy as np
import pytest
from scipy.special import softmax

from bertline.metrics.calibration import brier, calibration_error, log_loss
from bertline.metrics.calibration_intervals import calibration_numbers, log_loss_difference
from bertline.metrics.intervals import Settings

SETTINGS: Settings = {"resamples": 400, "confidence": 0.95, "seed": 1}
METRICS = {"log_loss": log_loss, "brier": brier, "calibration_error": calibration_error}


def drawn(rows: int, seed: int, sharper: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Return classes, and the probabilities that they were drawn from, their logits times `sharper`."""
    random = np.random.default_rng(seed)
    logits = random.normal(scale=2.0, size=(rows, 4))
    borders = softmax(logits, axis=1).cumsum(axis=1)[:, :-1]
    expected = (random.random((rows, 1)) > borders).sum(axis=1)
    return expected, softmax(sharper * logits, axis=1)


def drawn_sets(rows: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    probabilities = random.random((rows, 3)).astype(np.float32)
    return (random.random((rows, 3)) < probabilities).astype(np.uint8), probabilities


@pytest.mark.parametrize(("expected", "probabilities"), [drawn(300, 1), drawn_sets(200)])
def test_each_number_is_that_of_the_rows_and_lies_in_its_interval(
    expected: np.ndarray, probabilities: np.ndarray
) -> None:
    found = calibration_numbers(expected, probabilities, **SETTINGS)
    for name, metric in METRICS.items():
        assert found[name] == pytest.approx(metric(expected, probabilities))
        assert found[f"{name}_low"] < found[name] < found[f"{name}_high"]


@pytest.mark.parametrize("sharper", [1.0, 2.0])
def test_intervals_hold_the_mean_of_other_rows_about_as_often_as_they_say(sharper: float) -> None:
    samples = [drawn(300, seed, sharper) for seed in range(500)]
    found = [calibration_numbers(*sample, **SETTINGS) for sample in samples[:150]]
    for name, metric in METRICS.items():
        truth = np.mean([metric(*sample) for sample in samples])
        held = np.mean([each[f"{name}_low"] <= truth <= each[f"{name}_high"] for each in found])
        assert held > 0.9, name


def test_the_error_of_perfect_probabilities_is_near_the_floor_and_of_others_far_above() -> None:
    perfect, sharpened = (calibration_numbers(*drawn(3_000, 1, sharper), **SETTINGS) for sharper in (1, 3))
    assert perfect["calibration_error"] < perfect["calibration_floor_high"]
    assert sharpened["calibration_error_low"] > 3 * sharpened["calibration_floor_high"]


def test_a_paired_difference_is_narrower_than_the_intervals() -> None:
    expected, probabilities = drawn(500, 1)
    _, sharpened = drawn(500, 1, sharper=1.1)
    found = log_loss_difference(expected, sharpened, probabilities, **SETTINGS)
    assert found.value == pytest.approx(log_loss(expected, sharpened) - log_loss(expected, probabilities))
    alone = calibration_numbers(expected, probabilities, **SETTINGS)
    assert found.low < found.value < found.high
    assert found.high - found.low < 0.5 * (alone["log_loss_high"] - alone["log_loss_low"])


def test_the_same_settings_give_the_same_numbers() -> None:
    first, second = (calibration_numbers(*drawn(100, 1), **SETTINGS) for _ in range(2))
    assert first == second
