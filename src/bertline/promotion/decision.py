"""Decide from predictions alone whether a candidate model replaces the champion.

A pure function: no files, no registry, the same verdict every time. A difference counts by the lower end of
its paired-bootstrap interval: what the data can support, not the point estimate. The gates speak of the rows
they saw; they do not guarantee that next week's rows look alike.
"""

from dataclasses import dataclass

import numpy as np

from bertline.evaluation.intervals import Integers, Interval, Settings, interval, paired_difference
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
    classes = np.array(sorted({*candidate.classes, *(each for other in others for each in other.classes)}))
    expected = np.searchsorted(classes, candidate.classes)[candidate.expected]
    mine, *theirs = (np.searchsorted(classes, each.classes)[each.predicted] for each in (candidate, *others))
    gates = (
        _accuracy(params, expected, mine, len(classes)),
        _gain(params, _difference(params, expected, mine, theirs[0], len(classes))),
        _no_loss(params, expected, mine, theirs[1], len(classes)) if champion else _no_champion(params),
    )
    return Verdict(promote=all(gate.passed for gate in gates), gates=gates)


def mcnemar(expected: Integers, predicted_a: Integers, predicted_b: Integers) -> float:
    """Return the exact two-sided p-value of McNemar's test that a and b are right equally often.

    Source: McNemar, Psychometrika 12 (1947), in its exact form: under the null hypothesis the rows on which
    exactly one of the two is right are fair coin flips.
    """
    from scipy.stats import binomtest  # here, because it takes longer to import than all else to run

    a, b = predicted_a == expected, predicted_b == expected
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    return float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def _accuracy(params: Params, expected: Integers, predicted: Integers, n_classes: int) -> Gate:
    accuracy = interval(expected, predicted, n_classes, "accuracy", **_settings(params))
    return Gate(
        name="accuracy",
        passed=accuracy.value >= params.min_accuracy,
        value=accuracy.value,
        allowed=params.min_accuracy,
        reason=f"accuracy {_show(accuracy)}; at least {params.min_accuracy:g} is asked for",
    )


def _difference(params: Params, expected: Integers, a: Integers, b: Integers, n_classes: int) -> Interval:
    return paired_difference(expected, a, b, n_classes, "macro_f1", **_settings(params))


def _settings(params: Params) -> Settings:
    return {"resamples": params.resamples, "confidence": params.confidence, "seed": params.seed}


def _gain(params: Params, gain: Interval) -> Gate:
    return Gate(
        name="gain over baseline",
        passed=gain.low >= params.min_gain_over_baseline,
        value=gain.low,
        allowed=params.min_gain_over_baseline,
        reason=f"macro-F1 minus the TF-IDF baseline's {_show(gain, '+')}; "
        f"the lower end must reach {params.min_gain_over_baseline:+g}",
    )


def _no_loss(params: Params, expected: Integers, mine: Integers, champions: Integers, n_classes: int) -> Gate:
    change = _difference(params, expected, mine, champions, n_classes)
    return Gate(
        name="no loss to champion",
        passed=change.low >= -params.max_loss_to_champion,
        value=change.low,
        allowed=-params.max_loss_to_champion,
        reason=f"macro-F1 minus the champion's {_show(change, '+')}; the lower end must reach "
        f"{-params.max_loss_to_champion:+g} (McNemar's p = {mcnemar(expected, mine, champions):.3g})",
    )


def _no_champion(params: Params) -> Gate:
    return Gate(
        name="no loss to champion",
        passed=True,
        value=None,
        allowed=-params.max_loss_to_champion,
        reason="there is no champion yet: the first model has nothing to lose to",
    )


def _show(measured: Interval, sign: str = "") -> str:
    return f"{measured.value:{sign}.3f} [{measured.low:{sign}.3f}, {measured.high:{sign}.3f}]"
