"""The numbers of an evaluation, computed once for metrics.json, the pictures and the pages."""

from dataclasses import replace
from typing import Any, Unpack, get_args

from bertline.metrics.calibration_intervals import calibration_numbers
from bertline.metrics.intervals import Metric, Settings, paired_difference
from bertline.metrics.predictions import Predictions, check_same_rows
from bertline.metrics.rounding import rounded
from bertline.metrics.scores import model_scores, per_class
from bertline.metrics.temperature import Temperature, undo

FEW_ROWS = 5  # with fewer rows of a class, macro-F1 and its interval depend on the choice of these rows
HEADLINE = ("log_loss", "brier", "calibration_error", "calibration_floor")  # of what calibration.json has


def summarize(
    candidate: Predictions,
    baseline: Predictions,
    temperature: Temperature | None = None,
    **settings: Unpack[Settings],
) -> dict[str, Any]:
    """Return metrics.json: both models with intervals, and their paired difference.

    `scores`, all of both models, `classes`, the candidate by class, and `calibration` become files of their
    own. `temperature` is what the candidate's logits have been divided by.

    Raises:
        ValueError: the two are not predictions of the same rows.
    """
    check_same_rows(candidate, baseline)
    assert candidate.classes == baseline.classes, "both were trained on the same rows"
    calibration = _calibration({"candidate": candidate, "baseline": baseline}, temperature, **settings)

    scores = {
        which: model_scores(each, **settings)
        for which, each in (("candidate", candidate), ("baseline", baseline))
    }
    more = "micro_f1" if candidate.multi_label else "mcc"

    def headline(which: str) -> dict[str, float]:
        shown = [metric + end for metric in get_args(Metric) for end in ("", "_low", "_high")]
        numbers = {name: scores[which][name] for name in [*shown, more]}
        return numbers | {name: calibration[which][name] for name in HEADLINE}

    difference: dict[str, float] = {}
    for metric in get_args(Metric):
        found = paired_difference(
            candidate.expected,
            candidate.predicted,
            baseline.predicted,
            len(candidate.classes),
            metric,
            **settings,
        )
        difference |= found.named(metric)
    document = {
        "rows": len(candidate.ids),
        "confidence": settings["confidence"],
        "candidate": headline("candidate"),
        "baseline": headline("baseline"),
        "difference": difference,
        "scores": scores,
        "classes": per_class(candidate),
        "calibration": calibration,
    }
    numbers: dict[str, Any] = rounded(document)
    return numbers


def _calibration(
    models: dict[str, Predictions], temperature: Temperature | None, **settings: Unpack[Settings]
) -> dict[str, dict[str, float]]:
    """Return the numbers of `calibration_intervals` by model, and of the candidate before its calibration."""
    candidate = models["candidate"]
    if temperature is not None and temperature.applied:
        before = undo(candidate.probabilities, temperature, multi_label=candidate.multi_label)
        models = models | {"candidate_before_calibration": replace(candidate, probabilities=before)}
    return {
        name: calibration_numbers(each.expected, each.probabilities, **settings)
        for name, each in models.items()
    }


def table(metrics: dict[str, Any]) -> str:
    """Return the headline numbers of `metrics` with their intervals, as a few lines of text."""
    lines = [
        f"{metrics['rows']:,} test rows, {100 * metrics['confidence']:g}% intervals",
        f"{'':12}{'accuracy':28}macro-F1",
    ]
    for model, sign in (("candidate", ""), ("baseline", ""), ("difference", "+")):
        line = f"{model:12}"
        for metric in ("accuracy", "macro_f1"):
            value, low, high = (
                format(metrics[model][metric + end], f"{sign}.3f") for end in ("", "_low", "_high")
            )
            line += f"{value:8}{f'{low} to {high}':20}"
        lines.append(line.rstrip())
    few = few_rows(metrics)
    return "\n".join([*lines, few] if few else lines)


def few_rows(metrics: dict[str, Any]) -> str | None:
    """Return a warning if the macro-F1 of `metrics` rests on few rows of a class, or none; else None."""
    support = sorted((row["support"], label) for label, row in metrics["classes"].items())
    rare = [(rows, label) for rows, label in support if 0 < rows < FEW_ROWS]
    absent = [label for rows, label in support if not rows]
    parts = []
    if rare:
        (rows, label), *others = rare
        which = f"{len(others)} other classes" if len(others) > 1 else "another class"
        more = f" and on fewer than {FEW_ROWS} of {which}" if others else ""
        parts.append(f"macro-F1 rests on {rows:g} test row{'s' if rows > 1 else ''} of {label}{more}")
    if absent:
        more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
        parts.append(f"no test row has the label {absent[0]}{more}, which macro-F1 leaves out")
    return "; ".join(parts) or None
