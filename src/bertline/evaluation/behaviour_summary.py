"""The behavioural tests in numbers: failure rates with intervals, and examples. What behaviour.json holds."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bertline.evaluation.behaviour import NO_ROW, Behaviour, CaseAnswers, failed_cases
from bertline.evaluation.behaviour_file import UserTest
from bertline.evaluation.perturbations import Perturbation
from bertline.metrics.intervals import share_interval

EXAMPLES = 5


def summarize_behaviour(behaviour: Behaviour, answers: CaseAnswers, confidence: float) -> dict[str, Any]:
    """Return the number of rows, and of each test its cases, failures, failure rate and some examples.

    The examples are failures, those of the most probable answer first. `confidence`: of the intervals.
    """
    failed_M = failed_cases(behaviour, answers)
    names = np.array(behaviour.cases["test"].to_pylist(), object)
    tests = []
    for test in behaviour.tests:
        of_test = np.flatnonzero(names == test.name)
        failures = of_test[failed_M[of_test]]
        tests.append(
            {
                "name": test.name,
                "kind": "invariance" if isinstance(test, Perturbation) else test.kind,
                "description": describe(test),
                "cases": len(of_test),
                "failures": len(failures),
                **_rate(failed_M[of_test], confidence),
                "skipped": behaviour.skipped.get(test.name),
                "examples": _examples(behaviour, answers, failures),
            }
        )
    return {"rows": len(behaviour.rows), "confidence": confidence, "tests": tests}


def describe(test: Perturbation | UserTest) -> str:
    """Return in words what a test does and expects."""
    if isinstance(test, Perturbation):
        return f"{test.description}; the answer stays"
    labels = ", ".join(test.labels)
    if test.kind == "minimum_functionality":
        return f"the answer is {labels or 'no label'}"
    changes = [f"{test.prepend!r} stands before the text"] if test.prepend else []
    changes += [f"{test.append!r} stands behind the text"] if test.append else []
    changes += [f"{old!r} becomes {new!r}" for old, new in test.replace]
    expected = "the answer stays"
    if test.kind == "directional":
        expected = f"the probability of {labels} does not {test.must_not} by more than {test.by:g}"
    return f"{', '.join(changes)}; {expected}"


def _rate(failed: npt.NDArray[np.bool_], confidence: float) -> dict[str, float | None]:
    if not len(failed):
        return dict.fromkeys(("failure_rate", "failure_rate_low", "failure_rate_high"))
    found = share_interval(failed, confidence)
    return {
        "failure_rate": found.value,
        "failure_rate_low": found.low,
        "failure_rate_high": found.high,
    }


def _examples(
    behaviour: Behaviour, answers: CaseAnswers, failures: npt.NDArray[np.int64]
) -> Sequence[dict[str, str | None]]:
    """Return the most probable of the `failures`, which are places of cases."""
    order = np.argsort(-answers.cases_MC[failures].max(axis=1), kind="stable")[:EXAMPLES]
    texts = behaviour.rows["text"]
    examples: list[dict[str, str | None]] = []
    for case in failures[order]:
        row = behaviour.cases["row"][case].as_py()
        before, answer = (None, None) if row == NO_ROW else (texts[row].as_py(), answers.row_labels[row])
        examples.append(
            {
                "id": behaviour.cases["id"][case].as_py(),
                "before": before,
                "after": behaviour.cases["text"][case].as_py(),
                "prediction_before": answer,
                "prediction_after": answers.case_labels[case],
            }
        )
    return examples
