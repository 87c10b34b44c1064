"""What the evaluation says in three sentences: what is good, what is weak, what to do.

The rules stand in the order in which a person should act: first what makes the numbers themselves doubtful,
then what is wrong with the model, then with the data. The first that holds gives the second and the third
sentence; the others follow as `more`. Every number in a sentence stands in the document that it is about.
Does not guarantee that a cause is found: a rule sees counts, not texts.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bertline.metrics.summary import FEW_ROWS
from bertline.reporting.environment import cut

Documents = Mapping[str, Any]
"""The JSON files of reports/evaluation by name without ending; a part that does not apply is absent."""

WIDE = 0.1  # width of the accuracy's interval: a difference that matters would be invisible
WEAK_CLASS = 0.1  # F1 that a class has less than the mean of all
FAILING = (
    0.1  # failure rate of a behavioural test without a bound of its own, by the lower end of its interval
)
DOUBTFUL = 0.01  # share of test rows whose label looks wrong


@dataclass(frozen=True)
class Finding:
    """One weak point, as a sentence, and what to do about it, as another."""

    weak: str
    do: str


def conclude(documents: Documents) -> dict[str, Any]:
    """Return conclusions.json: `good`, `weak`, `do`, and under `more` the other weak points as sentences."""
    findings = [finding for rule in RULES if (finding := rule(documents))]
    if findings:
        first, *others = findings
    else:
        rows = documents["metrics"]["rows"]
        nothing = f"The checks found no weak point that {_rows(rows, 'test row')} can show."
        first, others = Finding(nothing, "Compare this model with the champion: bertline compare."), []
    return {
        "good": _good(documents["metrics"]),
        "weak": first.weak,
        "do": first.do,
        "more": [finding.weak for finding in others],
    }


def _good(metrics: Mapping[str, Any]) -> str:
    candidate, difference = metrics["candidate"], metrics["difference"]
    right = f"{_percent(candidate['accuracy'])} of {_rows(metrics['rows'], 'test row')} are answered right"
    ends = f"({_range(candidate, 'accuracy')})"
    gain, low, high = (100 * difference["accuracy" + end] for end in ("", "_low", "_high"))
    if low > 0:
        compared = f", {gain:.1f} points more than by the TF-IDF baseline ({low:.1f} to {high:.1f})"
    elif high < 0:
        compared = f", {-gain:.1f} points fewer than by the TF-IDF baseline ({-high:.1f} to {-low:.1f})"
    else:
        compared = ""
    return f"{right} {ends}{compared}."


def _few_test_rows(documents: Documents) -> Finding | None:
    metrics = documents["metrics"]
    candidate = metrics["candidate"]
    if candidate["accuracy_high"] - candidate["accuracy_low"] <= WIDE:
        return None
    return Finding(
        f"{_rows(metrics['rows'], 'test row')} are few: the accuracy may be {_range(candidate, 'accuracy')}.",
        "Label more rows, or give the test side a larger share (split.test), before you trust a difference.",
    )


def _worse_than_baseline(documents: Documents) -> Finding | None:
    if not _is_worse(documents):
        return None
    return Finding(
        f"The candidate is worse than the TF-IDF baseline: {_gain(documents)}.",
        "Do not promote it: look at its training, then try other settings (bertline ablate).",
    )


def _no_gain_over_baseline(documents: Documents) -> Finding | None:
    if documents["metrics"]["difference"]["macro_f1_low"] > 0 or _is_worse(documents):
        return None
    return Finding(
        f"The candidate is not shown to be better than the TF-IDF baseline: {_gain(documents)}.",
        "Label more test rows, or try other settings (bertline ablate), before you promote it.",
    )


def _is_worse(documents: Documents) -> bool:
    return bool(documents["metrics"]["difference"]["macro_f1_high"] < 0)


def _gain(documents: Documents) -> str:
    difference = documents["metrics"]["difference"]
    gain, low, high = (f"{100 * difference['macro_f1' + end]:+.1f}" for end in ("", "_low", "_high"))
    return f"macro-F1 {gain} points ({low} to {high})"


def _broken_pins(documents: Documents) -> Finding | None:
    pinned = documents.get("pinned")
    if not pinned or not pinned["wrong"]:
        return None
    return Finding(
        f"Pinned rows are broken: {pinned['right']:,} of {pinned['scored']:,} are answered right.",
        "Read those that are wrong (bertline mistakes pinned), and add training rows like them.",
    )


def _weak_class(documents: Documents) -> Finding | None:
    mean = documents["metrics"]["candidate"]["macro_f1"]
    classes = documents["classes"]
    judged = [(row["f1"], label) for label, row in classes.items() if row["support"] >= FEW_ROWS]
    if not judged or min(judged)[0] >= mean - WEAK_CLASS:
        return None
    f1, label = min(judged)
    rows = _rows(classes[label]["support"], "row")
    return Finding(
        f"The class {cut(label, 60)} is weak: F1 {_percent(f1)} on {rows}, {_percent(mean)} on average.",
        "Read its mistakes (bertline mistakes --class), correct wrong labels, and label more rows of it.",
    )


def _rare_class(documents: Documents) -> Finding | None:
    supports = {label: row["support"] for label, row in documents["classes"].items()}
    rare = sorted((rows, label) for label, rows in supports.items() if 0 < rows < FEW_ROWS)
    if not rare:
        return None
    rows, label = rare[0]
    return Finding(
        f"The class {cut(label, 60)} has only {_rows(rows, 'test row')}, so its scores are chance.",
        f"Label more rows of {cut(label, 60)}.",
    )


def _class_without_rows(documents: Documents) -> Finding | None:
    absent = sorted(label for label, row in documents["classes"].items() if not row["support"])
    if not absent:
        return None
    first, they = cut(absent[0], 60), "it is" if len(absent) == 1 else "they are"
    others = "" if len(absent) == 1 else ", nor some others"
    return Finding(
        f"No test row has the label {first}{others}, so nothing shows how well {they} answered.",
        f"Label rows of {first}, until some of them fall on the test side.",
    )


def _weak_slice(documents: Documents) -> Finding | None:
    found = documents.get("weak_slices", {}).get("slices")
    if not found:
        return None
    worst = min(found, key=lambda row: (row["accuracy"], row["rule"]))
    return Finding(
        f"A slice is weak ({cut(worst['rule'], 100)}): {_percent(worst['accuracy'])} of its "
        f"{_rows(worst['rows'], 'row')} are right, {_percent(worst['rest_accuracy'])} of the others.",
        "Read the mistakes of this slice, and add training rows like them.",
    )


def _failing_behaviour(documents: Documents) -> Finding | None:
    tests = [each for each in documents.get("behaviour", {}).get("tests", []) if not each["skipped"]]
    failing = [each for each in tests if each["failure_rate_low"] > _accepted(each)]
    if not failing:
        return None
    worst = max(failing, key=lambda each: (each["failure_rate_low"], each["name"]))
    return Finding(
        f"The behavioural test {cut(worst['name'], 60)} fails in {_percent(worst['failure_rate'])} of "
        f"{_rows(worst['cases'], 'case')} ({_range(worst, 'failure_rate')}).",
        "Read its examples in report.html; if users write such texts, add some for training.",
    )


def _accepted(test: Mapping[str, Any]) -> float:
    bound = test.get("max_failure_rate")
    return FAILING if bound is None else float(bound)


def _miscalibrated(documents: Documents) -> Finding | None:
    row = documents["calibration"]["candidate"]
    if row["calibration_error_low"] <= row["calibration_floor_high"]:
        return None
    error, chance = (f"{100 * row[name]:.1f}" for name in ("calibration_error", "calibration_floor_high"))
    return Finding(
        f"Its probabilities are off by {error} points on average; chance explains {chance} at most.",
        "Check that the validation rows are like the test rows: the temperature is fitted on them.",
    )


def _shortcut(documents: Documents) -> Finding | None:
    found = documents.get("data_checks", {}).get("shortcuts")
    if not found:
        return None
    first = found[0]
    return Finding(
        f"A shortcut ({cut(first['property'], 80)}): {_percent(first['train'])} of such training rows are "
        f"{cut(first['label'], 60)}, but {_percent(first['test'])} of such test rows.",
        "Add training rows in which the two do not go together.",
    )


def _doubtful_labels(documents: Documents) -> Finding | None:
    issues = documents.get("label_issues")
    if not issues or _is_worse(documents) or issues["found"]["test"] <= DOUBTFUL * issues["rows"]["test"]:
        return None
    return Finding(
        f"{issues['found']['test']:,} of {_rows(issues['rows']['test'], 'test label')} look wrong.",
        "Go through label_issues.csv, correct what is wrong in its file, and run dvc repro.",
    )


RULES: tuple[Callable[[Documents], Finding | None], ...] = (
    _worse_than_baseline,
    _few_test_rows,
    _no_gain_over_baseline,
    _broken_pins,
    _weak_class,
    _weak_slice,
    _failing_behaviour,
    _miscalibrated,
    _class_without_rows,
    _rare_class,
    _shortcut,
    _doubtful_labels,
)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def _range(row: Mapping[str, float], name: str) -> str:
    return f"{_percent(row[name + '_low'])} to {_percent(row[name + '_high'])}"


def _rows(count: float, noun: str) -> str:
    return f"{count:,.0f} {noun}{'' if count == 1 else 's'}"
