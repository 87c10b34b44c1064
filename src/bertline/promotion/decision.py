"""Decide from predictions alone: promote the candidate, keep the champion, or ask a person.

A pure function: no files, no registry, the same verdict every time. A difference counts by the lower end of
its paired interval: what the data can support, not the point estimate. So few test rows promote little: with
15 of them, only a gain of more than 0.22. The gates speak of the rows they saw; they do not guarantee that
next week's rows look alike. A multi-label row is right where all its labels are.
"""

from dataclasses import dataclass
from typing import Literal

from bertline.metrics.intervals import Interval, Settings, interval, paired_difference
from bertline.metrics.predictions import Predictions, check_same_rows
from bertline.metrics.significance import mcnemar
from bertline.params.promote import Params

Decision = Literal["promote", "keep", "ask"]
"""Make the candidate the champion; keep the champion; or a person decides, since the rows cannot tell."""


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One condition of the promotion: what was measured, what is allowed, and why in words."""

    name: str
    passed: bool
    value: float | None  # None: there was nothing to measure against
    allowed: float | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class Question:
    """What the rows cannot tell, so that a person decides: the name by which it is accepted, and why."""

    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Every gate, and the questions that only a person can answer."""

    gates: tuple[Gate, ...]
    questions: tuple[Question, ...] = ()

    @property
    def decision(self) -> Decision:
        """Keep where a gate failed; else ask if there is a question, and promote if there is none."""
        if not all(gate.passed for gate in self.gates):
            return "keep"
        return "ask" if self.questions else "promote"

    @property
    def reasons(self) -> str:
        """One line per gate and per question: the message of the tags."""
        gates = [f"{'passed' if gate.passed else 'FAILED'}  {gate.reason}" for gate in self.gates]
        return "\n".join([*gates, *(f"asks    {each.reason}" for each in self.questions)])


def decide(
    params: Params,
    *,
    candidate: Predictions,
    baseline: Predictions,
    champion: Predictions | None,
    same_split: bool = True,
) -> Verdict:
    """Compare the candidate with a floor, the baseline and the champion, all on the same rows.

    Without `same_split`, the champion may have been trained on some of them.

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
    return Verdict(gates=gates, questions=_questions(candidate, champion, same_split=same_split))


def _questions(
    candidate: Predictions, champion: Predictions | None, *, same_split: bool
) -> tuple[Question, ...]:
    """Return why the comparison with the champion may not be a fair one."""
    if champion is None:
        return ()
    found = {}
    if not same_split:
        found["split"] = "the champion was trained on another split, so it may have seen these rows"
    if lost := sorted(set(champion.classes) - set(candidate.classes)):
        found["lost-labels"] = f"the champion knows labels that the candidate does not: {', '.join(lost)}"
    if new := sorted(set(candidate.classes) - set(champion.classes)):
        found["new-labels"] = f"the candidate knows labels that the champion does not: {', '.join(new)}"
    return tuple(Question(name=name, reason=reason) for name, reason in found.items())


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
