import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bertline.stages.validate.report import render, write_report
from bertline.stages.validate.result import Outcome, Reason, ValidationResult

INGESTED: dict[str, Any] = {
    "lines_in": 1540,
    "duplicates": 312,
    "rows_out": 1228,
    "files": [
        {
            "path": "data/incoming/w30.csv",
            "rows": 1200,
            "encoding": "cp1252",
            "faults": 0,
            "repaired_quotes": 3,
        },
        {
            "path": "data/incoming/w31.csv",
            "rows": 340,
            "encoding": "utf-8",
            "faults": 2,
            "repaired_quotes": 0,
        },
    ],
}


def outcome(
    name: str, severity: str, observed: Any, allowed: str, *, passed: bool, detail: str = ""
) -> Outcome:
    return Outcome(
        name=name,
        column="text",
        severity=severity,
        passed=passed,
        observed=observed,
        allowed=allowed,
        detail=detail,
    )


def verdict(*, passed: bool = False, label: str = "<b>spam</b>") -> ValidationResult:
    drifted = "spam is 41 % of the newest batch and 8 % before"
    return ValidationResult(
        passed=passed,
        rows_in=1228,
        rows_kept=1221,
        rows_quarantined=7,
        rows_released=2,
        rows_out_of_scope=0,
        reviews_of_no_row=0,
        expectations=[
            outcome("text_length", "row", 7, "1 to 5 characters", passed=False),
            outcome("text_not_null", "row", 0, "present", passed=True),
            outcome("share_quarantined", "batch", 0.25, "at most 0.1", passed=passed),
            outcome("rows_kept", "batch", 1221.0, "at least 100", passed=True),
            outcome("rows_per_class", "batch", {label: 21, "ham": 1200}, "at least 20", passed=True),
            outcome("drift_labels", "warn", 0.31, "at most 0.2", passed=False, detail=drifted),
            outcome("drift_length", "warn", 0.0, "at most 0.2", passed=True),
        ],
    )


def test_the_page_needs_no_network() -> None:
    assert not re.search(r"https?://|src=|@import|url\(|<script|<link", render(verdict(), INGESTED))


def test_the_page_of_a_stopped_batch_names_what_failed() -> None:
    page = render(verdict(), INGESTED)
    assert "the batch was stopped" in page
    assert "share_quarantined failed" in page


def test_the_page_of_a_good_batch_says_so() -> None:
    page = render(verdict(passed=True), INGESTED)
    assert "the batch passed" in page
    assert 'class="bad"' not in page


def test_a_warning_is_named_at_the_top_and_explained_in_words() -> None:
    page = render(verdict(passed=True), INGESTED)
    assert "Warnings: drift_labels." in page
    assert "spam is 41 % of the newest batch and 8 % before" in page


def test_the_page_accounts_for_every_line_that_was_read() -> None:
    tiles = re.findall(r"<div><b>([\d,]+)</b><span>([^<]+)</span></div>", render(verdict(), INGESTED))
    assert tiles == [
        ("1,540", "lines read"),
        ("312", "exact duplicates"),
        ("1,228", "rows"),
        ("1,221", "kept, 2 of them released"),
        ("7", "quarantined"),
    ]


def test_the_page_says_how_each_file_was_read() -> None:
    page = render(verdict(), INGESTED)
    assert all(text in page for text in ("data/incoming/w30.csv", "cp1252", "Quotes repaired"))


def test_the_page_counts_rows_out_of_scope_apart_where_there_are_any() -> None:
    assert "out of scope" not in render(verdict(), INGESTED)
    page = render(replace(verdict(), rows_out_of_scope=12), INGESTED)
    assert "12 of them out of scope" in page


def test_a_label_is_text_not_markup() -> None:
    page = render(verdict(), INGESTED)
    assert "&lt;b&gt;spam&lt;/b&gt;" in page
    assert "<b>spam" not in page


def test_the_verdict_for_machines_is_the_verdict(tmp_path: Path) -> None:
    write_report(verdict(), INGESTED, tmp_path / "new")
    written = json.loads((tmp_path / "new" / "verdict.json").read_text())
    shown = [each.pop("shown") for each in written["expectations"]]
    assert written == asdict(verdict())
    assert shown == [each.shown for each in verdict().expectations]


def test_equal_verdicts_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_report(verdict(), INGESTED, tmp_path / name)
    for file in ("verdict.json", "index.html"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_a_batch_without_rows_has_a_page() -> None:
    nothing = outcome("rows_per_class", "batch", {}, "at least 20", passed=False)
    empty = replace(
        verdict(), rows_in=0, rows_kept=0, rows_quarantined=0, rows_released=0, expectations=[nothing]
    )
    assert "no label" in render(empty, {"lines_in": 0, "duplicates": 0, "rows_out": 0})


def test_numbers_are_shown_as_people_write_them() -> None:
    observed = [1234567, 1221.0, 0.12345, 4.5e-5, -2.5, 12345.6, {"a": 3, "b": 2}, {}, None]
    outcomes = [outcome("x", "batch", each, "allowed", passed=True) for each in observed]
    shown = [
        "1,234,567",
        "1,221",
        "0.123",
        "below 0.001",
        "-2.5",
        "12,346",
        "2 (smallest class)",
        "no label",
        "",
    ]
    assert [each.shown for each in outcomes] == shown
    page = render(replace(verdict(), expectations=outcomes), INGESTED)
    assert re.findall(r'n">([^<]*)</td><td>allowed', page) == shown


def test_reasons_that_the_page_does_not_list_are_counted() -> None:
    reasons = [Reason(rule="readable", rows=9, statement=f"reason {i}", example="") for i in range(12)]
    page = render(replace(verdict(), reasons=reasons), INGESTED)
    assert "reason 9" in page
    assert "reason 10" not in page
    assert "2 more reasons stand in verdict.json beside this page." in page


def test_many_labels_are_folded_away() -> None:
    classes = {f"label {i}": i for i in range(200)}
    many = replace(verdict(), expectations=[outcome("rows_per_class", "batch", classes, "", passed=True)])
    assert "<summary>200 labels</summary>" in render(many, INGESTED)
