from typing import Any

import pytest

from flows.retraining.artifacts import comparison_markdown, data_markdown
from flows.retraining.summary import Data

INGESTED = {"lines_in": 1540, "duplicates": 312, "rows_out": 1228}


def expectation(severity: str, shown: str, *, passed: bool = True, detail: str = "") -> dict[str, Any]:
    found = {"name": "labels", "column": "label", "allowed": "at least 2", "detail": detail}
    return {**found, "severity": severity, "shown": shown, "passed": passed}


def markdown(*expectations: dict[str, Any]) -> str:
    rows = {"rows_in": 1228, "rows_kept": 1221, "rows_quarantined": 7, "rows_released": 2}
    found = {"passed": False, **rows, "expectations": [*expectations]}
    return data_markdown(Data(ingested=INGESTED, validated=found))


def test_the_account_of_the_rows_adds_up() -> None:
    account = "1,540 lines read = 312 exact duplicates + 1,221 rows kept (2 of them released) + 7 quarantined"
    assert account in markdown()


def test_a_cell_of_the_table_holds_bars_and_line_breaks_of_a_label() -> None:
    lines = markdown(expectation("batch", "0.25", passed=False, detail="a | b\nis rare")).splitlines()
    assert lines[-1] == r"| labels (batch) | 0.25 | at least 2 | a \| b is rare |"


def test_the_observed_value_is_the_one_of_the_validation_result() -> None:
    lines = markdown(expectation("row", "1,221"), expectation("batch", "")).splitlines()
    assert [line.split(" | ")[1] for line in lines[-2:]] == ["1,221 rows", ""]


def test_what_was_not_met_comes_first() -> None:
    lines = markdown(expectation("row", "1"), expectation("warn", "2", passed=False)).splitlines()
    first, *_ = [line for line in lines if line.startswith("| labels")]
    assert first.startswith("| labels (warn) | 2 |")


def test_a_path_is_a_link_where_the_reports_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Report: `reports/validation/index.html`" in markdown()
    monkeypatch.setenv("BERTLINE_REPORTS_URL", "http://127.0.0.1:4201/")
    link = "[reports/validation/index.html](http://127.0.0.1:4201/reports/validation/index.html)"
    assert f"Report: {link}" in markdown()


def test_the_verdict_shows_what_broke_and_the_differences_with_their_names_as_text() -> None:
    change = {"a": 0.9, "b": 0.8, "difference": -0.1, "difference_low": -0.2, "difference_high": -0.01}
    worse = change | {"kind": "class", "name": "a|b", "measure": "recall", "rows": 40, "p_value": 0.001}
    shown = comparison_markdown(
        {
            "a": {"name": "v1.0.0", "title": "the champion v1.0.0"},
            "b": {"name": "candidate"},
            "conclusion": ["It breaks 3 rows.", "It is worse in <b>."],
            "cautions": ["Not fair."],
            "differences": [worse | {"verdict": "worse"}, worse | {"name": "c", "verdict": "not shown"}],
        }
    )
    assert "### Compared with the champion v1.0.0\n\nIt breaks 3 rows. It is worse in &lt;b&gt;." in shown
    assert "- Not fair." in shown
    assert shown.splitlines()[-1] == (
        "| the recall of a&#124;b | 40 | 90.0 | 80.0 | -10.0 (-20.0 to -1.0) | worse |"
    )


def test_the_differences_that_a_verdict_does_not_list_are_counted() -> None:
    change = {"a": 0.9, "b": 0.8, "difference": -0.1, "difference_low": -0.2, "difference_high": -0.01}
    worse = change | {"kind": "class", "name": "a", "measure": "recall", "rows": 40, "p_value": 0.001}
    names = {"a": {"name": "v1.0.0", "title": "v1.0.0"}, "b": {"name": "candidate"}}
    differences = [worse | {"verdict": "worse"}] * 11
    shown = comparison_markdown(names | {"conclusion": [], "cautions": [], "differences": differences})
    assert shown.splitlines()[-1] == "... and 1 more difference on the page"
