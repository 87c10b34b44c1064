"""The behavioural tests in numbers: failure rates with intervals, and examples. What behaviour.json holds."""

from typing import Any

import numpy as np
import numpy.typing as npt

from bertline.evaluation.behaviour import NO_ROW, Behaviour, CaseAnswers, failed_cases
from bertline.evaluation.behaviour_file import UserTest
from bertline.evaluation.perturbations import Perturbation
from bertline.metrics.intervals import share_interval
from bertline.models.abstention import answer_probability
from bertline.models.tfidf import joined
from bertline.rows.io import inputs

EXAMPLES = 5
CHARACTERS = 280
"""A quoted text has at most so many; a longer one is cut around the first change."""

_LEAD = 60  # of them stand before the change


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
                **_rate(failed_M[of_test], confidence, behaviour.bounds.get(test.name)),
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
    changes += [f"{old!r} becomes {' or '.join(map(repr, new))}" for old, new in test.replace]
    expected = "the answer stays"
    if test.kind == "directional":
        expected = f"the probability of {labels} does not {test.must_not} by more than {test.by:g}"
    return f"{', '.join(changes)}; {expected}"


def _rate(
    failed: npt.NDArray[np.bool_], confidence: float, bound: float | None
) -> dict[str, float | bool | None]:
    """Return the failure rate and its interval; and whether the cases show that it lies above `bound`."""
    if not len(failed):
        rate = {"failure_rate": None, "failure_rate_low": None, "failure_rate_high": None}
        return {**rate, "max_failure_rate": bound, "above_max": None}
    found = share_interval(failed, confidence)
    above = None if bound is None else found.low > bound
    return {**found.named("failure_rate"), "max_failure_rate": bound, "above_max": above}


def _examples(
    behaviour: Behaviour, answers: CaseAnswers, failures: npt.NDArray[np.int64]
) -> list[dict[str, str | None]]:
    """Return the most probable of the `failures`, which are places of cases; of equal ones by id."""
    sure = answer_probability(answers.cases_MC[failures], multi_label=answers.space.multi_label)
    ids = behaviour.cases["id"].take(failures).to_pylist()
    order = sorted(range(len(failures)), key=lambda place: (-sure[place], ids[place]))[:EXAMPLES]
    return [_example(behaviour, answers, int(failures[place])) for place in order]


def _example(behaviour: Behaviour, answers: CaseAnswers, place: int) -> dict[str, str | None]:
    case = behaviour.cases.slice(place, 1).to_pylist()[0]
    row, [after] = case["row"], joined(inputs(behaviour.cases.slice(place, 1)))
    if row == NO_ROW:
        texts: list[str | None] = [None, _quote(after, 0)]
    else:
        [before] = joined(inputs(behaviour.rows.slice(row, 1)))
        start = _first_quoted(before, after)
        texts = [_quote(text, start) for text in (before, after)]
    return {
        "id": case["id"],
        "before": texts[0],
        "after": texts[1],
        "prediction_before": None if row == NO_ROW else answers.space.shown(answers.row_labels[row]),
        "prediction_after": answers.space.shown(answers.case_labels[place]),
    }


def _first_quoted(before: str, after: str) -> int:
    if max(len(before), len(after)) <= CHARACTERS:
        return 0
    both = enumerate(zip(before, after, strict=False))
    change = next((place for place, (one, other) in both if one != other), min(len(before), len(after)))
    return max(0, change - _LEAD)


def _quote(text: str, start: int) -> str:
    """Return `CHARACTERS` of `text` from `start` on, with an ellipsis for what is left out."""
    end = start + CHARACTERS
    return f"{'…' if start else ''}{text[start:end]}{'…' if end < len(text) else ''}"
