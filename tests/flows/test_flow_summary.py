from typing import Any

from flows.summary import Data

INGESTED = {"lines_in": 1540, "duplicates": 312, "rows_out": 1228}


def expectation(severity: str, observed: Any, *, passed: bool = True, detail: str = "") -> dict[str, Any]:
    found = {"name": "labels", "column": "label", "allowed": "at least 2", "detail": detail}
    return {**found, "severity": severity, "observed": observed, "passed": passed}


def data(*expectations: dict[str, Any]) -> Data:
    rows = {"rows_in": 1228, "rows_kept": 1221, "rows_quarantined": 7, "rows_released": 2}
    return Data(ingested=INGESTED, validated={"passed": False, **rows, "expectations": [*expectations]})


def test_the_account_of_the_rows_adds_up() -> None:
    account = "1,540 lines read = 312 exact duplicates + 1,221 rows kept (2 of them released) + 7 quarantined"
    assert account in data().markdown()


def test_only_warnings_that_failed_are_warnings() -> None:
    passed = [expectation(severity, 1) for severity in ("warn", "batch", "row")]
    failed = [expectation(severity, 1, passed=False) for severity in ("warn", "batch", "row")]
    assert data(*passed, *failed).warnings() == ["labels is 1 (allowed: at least 2)"]


def test_a_cell_of_the_table_holds_bars_and_line_breaks_of_a_label() -> None:
    lines = data(expectation("batch", 0.25, detail="a | b\nis rare")).markdown().splitlines()
    assert lines[-3] == r"| labels | batch | 0.25 | at least 2 | met | a \| b is rare |"


def test_every_kind_of_observation_has_words() -> None:
    observed = [7, 1221.0, 0.12345, 4e-5, {"a": 3, "b": 2}, {}, "abc", None]
    shown = [
        line.split(" | ")[2]
        for line in data(*(expectation("batch", each) for each in observed)).markdown().splitlines()[6:-2]
    ]
    assert shown == [
        "7",
        "1,221",
        "0.123",
        "below 0.001",
        "2 in the smallest class",
        "0 in the smallest class",
        "abc",
        "missing",
    ]
