from typing import Any

from flows.summary import Data

INGESTED = {"lines_in": 1540, "duplicates": 312, "rows_out": 1228}


def expectation(severity: str, shown: str, *, passed: bool = True, detail: str = "") -> dict[str, Any]:
    found = {"name": "labels", "column": "label", "allowed": "at least 2", "detail": detail}
    return {**found, "severity": severity, "shown": shown, "passed": passed}


def data(*expectations: dict[str, Any]) -> Data:
    rows = {"rows_in": 1228, "rows_kept": 1221, "rows_quarantined": 7, "rows_released": 2}
    return Data(ingested=INGESTED, validated={"passed": False, **rows, "expectations": [*expectations]})


def test_the_account_of_the_rows_adds_up() -> None:
    account = "1,540 lines read = 312 exact duplicates + 1,221 rows kept (2 of them released) + 7 quarantined"
    assert account in data().markdown()


def test_only_warnings_that_failed_are_warnings() -> None:
    passed = [expectation(severity, "1") for severity in ("warn", "batch", "row")]
    failed = [expectation(severity, "1", passed=False) for severity in ("warn", "batch", "row")]
    assert data(*passed, *failed).warnings() == ["labels is 1 (allowed: at least 2)"]


def test_a_cell_of_the_table_holds_bars_and_line_breaks_of_a_label() -> None:
    lines = data(expectation("batch", "0.25", detail="a | b\nis rare")).markdown().splitlines()
    assert lines[-3] == r"| labels | batch | 0.25 | at least 2 | met | a \| b is rare |"


def test_what_was_observed_stands_as_the_verdict_shows_it() -> None:
    lines = data(expectation("row", "1,221"), expectation("batch", "")).markdown().splitlines()
    assert [line.split(" | ")[2] for line in lines[6:-2]] == ["1,221 rows", ""]


def test_a_warning_without_a_number_names_none() -> None:
    warned = expectation("warn", "", passed=False, detail="3 values")
    assert data(warned).warnings() == ["labels (allowed: at least 2): 3 values"]
