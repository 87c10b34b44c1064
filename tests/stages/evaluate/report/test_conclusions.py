import re
from collections.abc import Callable
from typing import Any

import pytest

from bertline.stages.evaluate.report.conclusions import RULES, conclude
from tests.support.evaluation_documents import documents

Change = Callable[[dict[str, Any]], Any]

WEAKNESSES: dict[str, Change] = {
    "are few": lambda found: found["metrics"]["candidate"].update(accuracy_low=0.8, accuracy_high=0.95),
    "is not shown to be better": lambda found: found["metrics"]["difference"].update(macro_f1_low=-0.0012),
    "Pinned rows are broken": lambda found: found["pinned"].update(right=4, wrong=[{"text": "x"}]),
    "The class ham is weak": lambda found: found["classes"]["ham"].update(f1=0.7123),
    "A slice is weak": lambda found: found["weak_slices"]["slices"].append(
        {"rule": "has no digit", "rows": 97, "accuracy": 0.7123, "rest_accuracy": 0.9456}
    ),
    "The behavioural test typos fails": lambda found: found["behaviour"]["tests"][0].update(
        failure_rate=0.2345, failure_rate_low=0.1987, failure_rate_high=0.2765
    ),
    "Its probabilities are off": lambda found: found["calibration"]["candidate"].update(
        calibration_error=0.0765, calibration_error_low=0.0543
    ),
    "No test row has the label eggs, so": lambda found: found["classes"].update(
        eggs=dict.fromkeys(("precision", "recall", "f1", "support"), 0.0)
    ),
    "has only 3 test rows": lambda found: found["classes"]["spam"].update(support=3),
    "A shortcut": lambda found: found["data_checks"]["shortcuts"].append(
        {"property": "has a digit", "label": "ham", "train": 0.9123, "test": 0.5432, "rows": 55}
    ),
    "of 1,234 test labels look wrong": lambda found: found["label_issues"]["found"].update(test=87),
}


def sound() -> dict[str, Any]:
    """The documents of a model without a weak point."""
    found = documents()
    found["data_checks"]["shortcuts"] = []
    return found


def test_a_model_without_a_weak_point_is_to_be_compared() -> None:
    said = conclude(sound())
    assert said["good"].startswith(
        "93.4% of 1,234 test rows are answered right (92.1% to 94.7%), 6.3 points more"
    )
    assert said["weak"] == "The checks found no weak point that 1,234 test rows can show."
    assert "bertline compare" in said["do"]
    assert said["more"] == []


@pytest.mark.parametrize("sentence", WEAKNESSES)
def test_a_weak_point_is_named(sentence: str) -> None:
    found = sound()
    WEAKNESSES[sentence](found)
    assert sentence in conclude(found)["weak"]


def test_every_rule_has_a_weakness_that_it_finds() -> None:
    assert len(WEAKNESSES) == len(RULES) - 1  # a candidate that is worse than the baseline has its own test


def test_the_weak_points_come_in_the_order_in_which_to_act() -> None:
    found = sound()
    for change in WEAKNESSES.values():
        change(found)
    said = conclude(found)
    sentences = [said["weak"], *said["more"]]
    assert [next(name for name in WEAKNESSES if name in sentence) for sentence in sentences] == list(
        WEAKNESSES
    )


def test_every_number_of_a_sentence_is_the_rounding_of_one_in_a_document() -> None:
    found = sound()
    for change in WEAKNESSES.values():
        change(found)
    said = conclude(found)
    shown = re.findall(
        r"[+-]?\d[\d,]*\.?\d*%?", " ".join([said["good"], said["weak"], *said["more"]]).replace("F1", "")
    )
    assert len(shown) > 25
    assert set(shown) - _roundings(found) == set()


def _roundings(document: Any) -> set[str]:
    if isinstance(document, dict | list):
        parts = document.values() if isinstance(document, dict) else document
        return set().union(*map(_roundings, parts))
    if not isinstance(document, int | float):
        return set()
    hundredfold = 100 * document
    return {f"{document:,.0f}", f"{hundredfold:.1f}%", f"{hundredfold:.1f}", f"{hundredfold:+.1f}"}


def test_a_candidate_that_is_worse_than_the_baseline_is_named_before_all_else() -> None:
    found = sound()
    for change in WEAKNESSES.values():
        change(found)
    found["metrics"]["difference"].update(macro_f1=-0.2, macro_f1_low=-0.25, macro_f1_high=-0.15)
    said = conclude(found)
    assert said["weak"] == (
        "The candidate is worse than the TF-IDF baseline: macro-F1 -20.0 points (-25.0 to -15.0)."
    )
    others = " ".join(said["more"])
    assert "not shown to be better" not in others
    assert "labels look wrong" not in others  # it is no judge of labels


def test_a_loss_that_is_shown_stands_beside_the_accuracy() -> None:
    found = sound()
    found["metrics"]["difference"].update(accuracy=-0.2, accuracy_low=-0.25, accuracy_high=-0.15)
    assert conclude(found)["good"].endswith(", 20.0 points fewer than by the TF-IDF baseline (15.0 to 25.0).")


def test_several_classes_without_test_rows_are_one_finding() -> None:
    found = sound()
    for label in ("eggs", "bacon"):
        found["classes"][label] = dict.fromkeys(("precision", "recall", "f1", "support"), 0.0)
    assert conclude(found)["weak"].startswith("No test row has the label bacon, nor some others")


def test_a_gain_that_is_not_shown_is_not_called_good() -> None:
    found = sound()
    found["metrics"]["difference"].update(accuracy_low=-0.01)
    assert "baseline" not in conclude(found)["good"]


def test_parts_that_are_absent_are_no_weak_point() -> None:
    found = sound()
    for name in ("weak_slices", "behaviour", "pinned", "data_checks", "label_issues"):
        del found[name]
    assert conclude(found)["more"] == []
