"""The effect of a change of settings on a score, from pairs of trainings that share their seed.

The interval covers other seeds. It does not cover other validation rows: all runs are scored on the same
rows, and the best epoch of each was chosen on them. With few seeds it is wide.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal

CONFIDENCE = 0.95

Verdict = Literal["helps", "hurts", "not shown"]


@dataclass(frozen=True)
class PairedDifference:
    """A mean difference of scores and its interval, which is infinite for a single pair."""

    mean: float
    low: float
    high: float

    @property
    def verdict(self) -> Verdict:
        """On which side of zero the interval lies; a zero-width interval means the scores are too coarse."""
        if self.high - self.low < 1e-9:
            return "not shown"
        if self.low > 0:
            return "helps"
        return "hurts" if self.high < 0 else "not shown"


def paired_difference(changed: Sequence[float], base: Sequence[float]) -> PairedDifference:
    """Return the difference between `changed` and `base`, whose scores at one place share a seed.

    The interval is Student's t for the mean of the differences ("The probable error of a mean", 1908): it
    takes them as independent and about normal.

    Raises:
        ValueError: there is no pair, or a score lacks its partner.
    """
    differences = [mine - theirs for mine, theirs in zip(changed, base, strict=True)]
    if not differences:
        raise ValueError("a paired difference needs at least one pair of scores")
    mean = fmean(differences)
    if len(differences) == 1:
        return PairedDifference(mean=mean, low=-math.inf, high=math.inf)
    from scipy.stats import t

    factor = float(t.ppf((1 + CONFIDENCE) / 2, df=len(differences) - 1))
    half = factor * stdev(differences) / math.sqrt(len(differences))
    return PairedDifference(mean=mean, low=mean - half, high=mean + half)
