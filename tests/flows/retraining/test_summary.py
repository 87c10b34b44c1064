import json
from pathlib import Path
from typing import Any

import pytest

from flows.retraining.summary import Data, training_warnings


def expectation(severity: str, shown: str, *, passed: bool = True, detail: str = "") -> dict[str, Any]:
    found = {"name": "labels", "column": "label", "allowed": "at least 2", "detail": detail}
    return {**found, "severity": severity, "shown": shown, "passed": passed}


def warnings(*expectations: dict[str, Any]) -> list[str]:
    return Data(ingested={}, validated={"passed": False, "expectations": [*expectations]}).warnings()


def test_only_warnings_that_failed_are_warnings() -> None:
    passed = [expectation(severity, "1") for severity in ("warn", "batch", "row")]
    failed = [expectation(severity, "1", passed=False) for severity in ("warn", "batch", "row")]
    assert warnings(*passed, *failed) == ["labels is 1 (allowed: at least 2)"]


def test_a_warning_without_a_number_names_none() -> None:
    warned = expectation("warn", "", passed=False, detail="3 values")
    assert warnings(warned) == ["labels (allowed: at least 2): 3 values"]


@pytest.mark.parametrize(
    ("summary", "shown"),
    [({"warnings": ["it overfits"]}, ["finetune: it overfits"]), ({"warnings": []}, []), ({"seed": 1}, [])],
    ids=["one", "none", "an earlier version"],
)
def test_the_warnings_of_the_training_are_shown(
    tmp_path: Path, summary: dict[str, Any], shown: list[str]
) -> None:
    path = tmp_path / "reports/finetune/summary.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(summary))
    assert training_warnings(tmp_path) == shown
