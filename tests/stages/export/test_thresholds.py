import numpy as np
import pytest
from scipy.stats import binomtest

from bertline.stages.export.thresholds import max_out_of_scope, min_probability

SETTINGS = {"target_precision": 0.9, "confidence": 0.95}


def rows(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities, and whether answers are right, as they are by a calibrated model."""
    draw = np.random.default_rng(seed)
    confidence_N = draw.uniform(0.5, 1, count).astype(np.float32)
    return confidence_N, draw.uniform(size=count) < confidence_N


def test_the_answers_from_the_threshold_on_are_as_precise_as_asked() -> None:
    confidence_N, right_N = rows(2000)
    found = min_probability(confidence_N, right_N, **SETTINGS)
    assert found is not None
    answered = right_N[confidence_N >= found]
    ends = binomtest(int(answered.sum()), len(answered)).proportion_ci(0.95, method="wilson")
    assert ends.low >= 0.9
    assert 0.75 < found < 0.9  # a calibrated model is right in 90 % of the answers from 0.8 on


def test_answers_that_are_all_right_need_no_threshold() -> None:
    confidence_N, _ = rows(200)
    assert min_probability(confidence_N, np.ones(200, bool), **SETTINGS) == 0


def test_there_is_no_threshold_where_no_answers_are_right_often_enough() -> None:
    confidence_N, _ = rows(200)
    assert min_probability(confidence_N, np.arange(200) % 2 == 0, **SETTINGS) is None


def test_too_few_rows_show_no_precision() -> None:
    assert min_probability(np.ones(5), np.ones(5, bool), **SETTINGS) is None


def test_rows_of_equal_probability_are_answered_together() -> None:
    confidence_N = np.repeat([0.9, 0.6], 100)
    right_N = np.concatenate([np.ones(100, bool), np.ones(50, bool), np.zeros(50, bool)])
    assert min_probability(confidence_N, right_N, **SETTINGS) == pytest.approx(0.9, abs=1e-5)


def test_rounding_of_a_probability_refuses_no_row_that_the_threshold_answers() -> None:
    confidence_N, right_N = rows(2000)
    found = min_probability(confidence_N, right_N, **SETTINGS)
    nudged_N = np.nextafter(confidence_N, np.float32(0))
    assert np.array_equal(nudged_N >= found, confidence_N >= found)


def test_without_rows_out_of_scope_the_asked_share_of_the_others_is_refused() -> None:
    scores_N = np.random.default_rng(0).normal(size=1000)
    threshold = max_out_of_scope(scores_N, np.empty(0), max_refused=0.02)
    assert (scores_N > threshold).mean() == 0.02
    assert np.abs(scores_N - threshold).min() > 1e-5  # rounding moves no row over it


def test_rows_out_of_scope_set_the_threshold_between_them_and_the_others() -> None:
    threshold = max_out_of_scope(np.array([1.0, 2.0, 3.0]), np.array([5.0, 6.0]), max_refused=0.5)
    assert threshold == 4


@pytest.mark.parametrize("rows_outside", [1, 100])
def test_rows_out_of_scope_that_look_like_the_others_do_not_refuse_more_of_these(rows_outside: int) -> None:
    draw = np.random.default_rng(0)
    for _ in range(20):
        inside_N, outside_N = draw.normal(size=300), draw.normal(size=rows_outside)
        assert (inside_N > max_out_of_scope(inside_N, outside_N, max_refused=0.02)).mean() <= 0.02
