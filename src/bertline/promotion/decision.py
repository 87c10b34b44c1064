"""Decide from predictions alone whether a candidate model replaces the champion.

A pure function: no files, no registry, the same verdict every time. A difference counts by the lower end of
its paired interval: what the data can support, not the point estimate. So few test rows promote little: with
15 of them, only a gain of more than 0.22. The gates speak of the rows they saw; they do not guarantee that
next week's rows look alike. A multi-label row is right where all its labels are.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bertline.evaluation.intervals import Interval, Settings, interval, paired_difference
from bertline.evaluation.predictions import Predictions, check_same_rows
from bertline.params.promote import Params


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One condition of the promotion: what was measured, what is allowed, and why in words."""

    name: str
    passed: bool
    value: float | None  # None: there was nothing to measure against
    allowed: float | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Promote or not, and every gate that led there."""

    promote: bool
    gates: tuple[Gate, ...]

    @property
    def reasons(self) -> str:
        """One line per gate: the message of the tags."""
        return "\n".join(f"{'passed' if gate.passed else 'FAILED'}  {gate.reason}" for gate in self.gates)


def decide(
    params: Params, *, candidate: Predictions, baseline: Predictions, champion: Predictions | None
) -> Verdict:
    """Compare the candidate with a floor, the baseline and the champion, all on the same rows.

    Raises:
        ValueError: the predictions are not of the same rows in the same order.
    """
    others = [baseline] if champion is None else [baseline, champion]
    for other in others:
        check_same_rows(candidate, other)
    # A champion may know other classes than the candidate: compare over the union.
    classes = sorted({each for model in (candidate, *others) for each in model.classes})
    mine, *theirs = (each.over(classes) for each in (candidate, *others))
    gates = (
        _accuracy(params, mine),
        _gain(params, mine, theirs[0]),
        _no_loss(params, mine, theirs[1]) if champion else _no_champion(params),
    )
    return Verdict(promote=all(gate.passed for gate in gates), gates=gates)


def mcnemar(right_a: npt.NDArray[np.bool_], right_b: npt.NDArray[np.bool_]) -> float:
    """Return the exact two-sided p-value of McNemar's test that a and b are right [N] equally often.

    Source: McNemar, Psychometrika 12 (1947), in its exact form: under the null hypothesis the rows on which
    exactly one of the two is right are fair coin flips.
    """
    from scipy.stats import binomtest  # here, because it takes longer to import than all else to run

    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    return float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def _accuracy(params: Params, mine: Predictions) -> Gate:
    accuracy = interval(mine.expected, mine.predicted, len(mine.classes), "accuracy", **_settings(params))
    return Gate(
        name="accuracy",
        passed=accuracy.value >= params.min_accuracy,
        value=accuracy.value,
        allowed=params.min_accuracy,
        reason=f"accuracy {_show(accuracy)}; at least {params.min_accuracy:g} is asked for",
    )


def _difference(params: Params, a: Predictions, b: Predictions) -> Interval:
    return paired_difference(
        a.expected, a.predicted, b.predicted, len(a.classes), "macro_f1", **_settings(params)
    )


def _settings(params: Params) -> Settings:
    return {"resamples": params.resamples, "confidence": params.confidence, "seed": params.seed}


def _gain(params: Params, mine: Predictions, baselines: Predictions) -> Gate:
    gain = _difference(params, mine, baselines)
    return Gate(
        name="gain over baseline",
        passed=gain.low >= params.min_gain_over_baseline,
        value=gain.low,
        allowed=params.min_gain_over_baseline,
        reason=f"macro-F1 minus the TF-IDF baseline's {_show(gain, '+')}; "
        f"{_lower_end(gain, params.min_gain_over_baseline, mine)}",
    )


def _no_loss(params: Params, mine: Predictions, champions: Predictions) -> Gate:
    change = _difference(params, mine, champions)
    return Gate(
        name="no loss to champion",
        passed=change.low >= -params.max_loss_to_champion,
        value=change.low,
        allowed=-params.max_loss_to_champion,
        reason=f"macro-F1 minus the champion's {_show(change, '+')}; "
        f"{_lower_end(change, -params.max_loss_to_champion, mine)} "
        f"(McNemar's p = {mcnemar(mine.right, champions.right):.3g})",
    )


def _no_champion(params: Params) -> Gate:
    return Gate(
        name="no loss to champion",
        passed=True,
        value=None,
        allowed=-params.max_loss_to_champion,
        reason="there is no champion yet: the first model has nothing to lose to",
    )


def _lower_end(difference: Interval, allowed: float, mine: Predictions) -> str:
    needed = f"the lower end must reach {allowed:+g}"
    if difference.low < allowed <= difference.value:
        return f"{needed}, and {len(mine.ids):,} test rows are too few to show that it does"
    return needed


def _show(measured: Interval, sign: str = "") -> str:
    return f"{measured.value:{sign}.3f} [{measured.low:{sign}.3f}, {measured.high:{sign}.3f}]"
