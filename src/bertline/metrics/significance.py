"""Whether two models differ by more than chance: an exact test, and a correction for many tests."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def mcnemar(right_a: npt.NDArray[np.bool_], right_b: npt.NDArray[np.bool_]) -> float:
    """Return the exact two-sided p-value of McNemar's test that a and b are right [N] equally often.

    Source: McNemar, Psychometrika 12 (1947), in its exact form: under the null hypothesis the rows on which
    exactly one of the two is right are fair coin flips.
    """
    from scipy.stats import binomtest  # here, because it takes longer to import than all else to run

    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    return float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def q_values(p_values: Sequence[float] | npt.NDArray[np.float64]) -> list[float]:
    """Return the q-value of each of a family of tests: those with q <= 0.05 have 5 % false ones, on average.

    With no true difference, one is found in at most 5 % of families. Holds for independent tests and for
    positively dependent ones, such as those of overlapping slices.

    Source: Benjamini & Hochberg, Journal of the Royal Statistical Society B 57 (1995); Benjamini & Yekutieli,
    Annals of Statistics 29 (2001), for the dependence.
    """
    from scipy.stats import false_discovery_control

    return [float(each) for each in false_discovery_control(p_values)] if len(p_values) else []
