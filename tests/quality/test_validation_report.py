import json
import re

from bertline.quality.report import render, write_report
from bertline.quality.suite import Outcome, Verdict


def verdict(*, passed=False, label="<b>spam</b>"):
    outcomes = [
        Outcome(name="columns", column=None, severity="batch", passed=True, observed="id", allowed="id"),
        Outcome(
            name="text_length", column="text", severity="row", passed=False, observed=7, allowed="1 to 5"
        ),
        Outcome(
            name="share",
            column="share",
            severity="batch",
            passed=passed,
            observed=0.25,
            allowed="at most 0.1",
        ),
        Outcome(
            name="rows_per_class",
            column="rows",
            severity="batch",
            passed=True,
            observed={label: 21},
            allowed=">= 20",
        ),
    ]
    return Verdict(passed=passed, rows_in=28, rows_kept=21, rows_quarantined=7, expectations=outcomes)


def test_the_page_needs_no_network():
    assert not re.search(r"https?://|src=|@import|url\(|<script|<link", render(verdict()))


def test_the_page_of_a_stopped_batch_names_what_failed():
    page = render(verdict())
    assert "the batch was stopped" in page
    assert "share failed" in page


def test_the_page_of_a_good_batch_says_so():
    assert "the batch passed" in render(verdict(passed=True))


def test_a_label_is_text_not_markup():
    page = render(verdict())
    assert "&lt;b&gt;spam&lt;/b&gt;" in page
    assert "<b>spam" not in page


def test_the_verdict_for_machines_has_the_agreed_keys(tmp_path):
    write_report(verdict(), tmp_path / "new")
    read = json.loads((tmp_path / "new" / "verdict.json").read_text())
    assert list(read) == ["passed", "rows_in", "rows_kept", "rows_quarantined", "expectations"]
    assert list(read["expectations"][0]) == ["name", "column", "severity", "passed", "observed", "allowed"]


def test_a_batch_without_classes_has_a_page():
    empty = Outcome(
        name="rows_per_class", column="rows", severity="batch", passed=False, observed={}, allowed=">= 20"
    )
    page = render(Verdict(passed=False, rows_in=0, rows_kept=0, rows_quarantined=0, expectations=[empty]))
    assert "no label" in page
