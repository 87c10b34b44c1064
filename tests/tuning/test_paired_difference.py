"""The effect of a technique over seeds, and the verdict on it."""

import math

import numpy as np
import pytest
from scipy.stats import ttest_rel

from bertline.tuning.paired_difference import PairedDifference, paired_difference


def test_the_interval_is_that_of_a_paired_t_test() -> None:
    changed, base = [0.91, 0.93, 0.90, 0.94], [0.90, 0.90, 0.91, 0.91]
    difference = paired_difference(changed, base)
    theirs = ttest_rel(changed, base).confidence_interval(0.95)
    assert difference.mean == pytest.approx(0.015)
    assert (difference.low, difference.high) == pytest.approx((theirs.low, theirs.high))


def test_one_seed_shows_nothing() -> None:
    difference = paired_difference([0.99], [0.01])
    assert (difference.mean, difference.low, difference.high) == (0.98, -math.inf, math.inf)
    assert difference.verdict == "not shown"


def test_differences_that_are_all_the_same_show_nothing() -> None:
    assert (
        paired_difference([0.925, 0.95], [0.9, 0.925]).verdict == "not shown"
    )  # of 40 rows one more is right


def test_two_seeds_need_an_effect_far_above_their_spread() -> None:
    assert paired_difference([0.93, 0.91], [0.90, 0.90]).verdict == "not shown"
    assert paired_difference([0.930, 0.931], [0.90, 0.90]).verdict == "helps"


def test_a_technique_that_does_nothing_is_called_helping_or_hurting_once_in_twenty_times() -> None:
    draw = np.random.default_rng(0)
    called = sum(
        paired_difference(draw.normal(size=3).tolist(), draw.normal(size=3).tolist()).verdict != "not shown"
        for _ in range(2000)
    )
    assert 70 < called < 130


@pytest.mark.parametrize(
    ("low", "high", "verdict"), [(0.1, 0.3, "helps"), (-0.3, -0.1, "hurts"), (0.0, 0.0, "not shown")]
)
def test_the_verdict_asks_on_which_side_of_zero_the_interval_lies(
    low: float, high: float, verdict: str
) -> None:
    assert PairedDifference(mean=(low + high) / 2, low=low, high=high).verdict == verdict


@pytest.mark.parametrize(("changed", "base"), [([], []), ([0.1], [0.1, 0.2])])
def test_scores_without_their_partner_are_refused(changed: list[float], base: list[float]) -> None:
    with pytest.raises(ValueError, match=r"pair|shorter|longer"):
        paired_difference(changed, base)
