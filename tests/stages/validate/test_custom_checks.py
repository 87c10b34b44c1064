from datetime import UTC, datetime
from pathlib import Path

import pytest

from bertline.stages.validate.custom_checks import read_expectations
from tests.support.params import SHIPPED
from tests.support.validating import GOOD, failed, judge_rows, rows

FILE = Path("expectations.yaml")
ENTRY = """
- name: no_digits
  severity: row
  expect: column_values_to_not_match_regex
  column: text
  regex: '[0-9]'
  allowed: free of digits
"""


def read(text):
    FILE.write_text(text, encoding="utf-8")
    return read_expectations(FILE)


def test_the_projects_own_file_is_valid_and_so_is_its_example():
    shipped = SHIPPED / "expectations.yaml"
    assert read_expectations(shipped) == []
    lines = shipped.read_text(encoding="utf-8").splitlines()
    example = [line.removeprefix("# ") for line in lines if line.startswith(("# - ", "#   "))]
    assert [rule.name for rule in read("\n".join(example))] == ["no_phone_numbers", "mean_length"]


def test_a_row_that_breaks_a_rule_of_the_user_is_quarantined_after_ours():
    table = rows(*GOOD, ("e 1", "ham"), ("1" * 50, "ham"), (None, "ham"))
    judged = judge_rows(table, own=read(ENTRY))
    assert judged.quarantined["rule"].to_pylist() == ["no_digits", "text_length", "text_not_null"]
    assert judged.quarantined["reason"][0].as_py() == "text must be free of digits"
    assert judged.outcomes["no_digits"].observed == 2


def test_a_rule_of_the_user_on_all_rows_warns_or_stops():
    text = """
- name: median
  severity: SEVERITY
  expect: column_value_lengths_to_be_between
  column: text
  min_value: 2
  mostly: 0.9
  allowed: two characters or more
"""
    outcome = judge_rows(rows(*GOOD), own=read(text.replace("SEVERITY", "warn"))).outcomes["median"]
    assert (outcome.passed, outcome.severity, outcome.observed) == (False, "warn", 4)
    line = failed(rows(*GOOD), own=read(text.replace("SEVERITY", "batch")))
    assert line == "median is 4 (allowed: two characters or more)"


@pytest.mark.parametrize(
    "bound", ["2026-01-01", "'2026-01-01'", "2026-01-01T00:00:00Z", "2025-12-31 19:00:00-05:00"]
)
@pytest.mark.parametrize("severity", ["row", "warn"])
def test_a_bound_of_time_stamps_may_be_any_date(bound, severity):
    moments = [datetime(2026, 1, 1, tzinfo=UTC)] * 4 + [datetime(2025, 12, 31, 23, tzinfo=UTC)]
    entry = f"""
- name: recent
  severity: {severity}
  expect: column_values_to_be_between
  column: timestamp
  min_value: {bound}
  allowed: of this year
"""
    judged = judge_rows(rows(*GOOD, ("e", "ham"), timestamp=moments), own=read(entry))
    assert judged.outcomes["recent"].observed == 1


def test_a_regular_expression_that_is_none_is_an_error_not_a_rule_that_is_met():
    with pytest.raises(ValueError, match=r"expectation 'no_digits' cannot be evaluated: .*missing"):
        judge_rows(rows(*GOOD), own=read(ENTRY.replace("[0-9]", "(")))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "not_match_regex",
            "not_match_rexeg",
            "expect is .*; allowed: a core expectation .* e.g. column_values",
        ),
        (
            "column_values_to_not_match_regex",
            "column_values_to_be_unique",
            "does not judge single rows; .*one of",
        ),
        ("column: text", "column: body", "there is no column 'body'; allowed: id, content_id, text"),
        ("severity: row", "severity: stop", "severity is 'stop'; allowed: row, warn, batch"),
        (
            "regex: '[0-9]'",
            "rexeg: '[0-9]'",
            r"regex field required .*; column_values_to_not_match_regex takes .*regex",
        ),
        ("  allowed: free of digits\n", "", "allowed is None; allowed: some text"),
        ("regex: '[0-9]'", "regex: x\n  strict: 1", "strict extra fields not permitted .*takes"),
        ("regex: '[0-9]'", "regex: x\n  mostly: 0.5", "mostly says nothing of one row"),
        *(
            ("regex: '[0-9]'", f"regex: x\n  {name}: x", f"{name} is not supported; remove it")
            for name in ("row_condition", "condition_parser", "batch_id")
        ),
        ("- name: no_digits\n", "- no_digits\n-\n", "is 'no_digits'; allowed: a mapping"),
        (
            "regex: '[0-9]'",
            "regex: {$PARAMETER: x}",
            r"regex is a \$PARAMETER, which is not",
        ),
        (
            "column_values_to_not_match_regex",
            "table_column_count_to_equal",
            "says nothing: the columns are always id, content_id",
        ),
    ],
)
def test_a_wrong_entry_is_named_with_what_is_allowed(old, new, message):
    assert old in ENTRY
    with pytest.raises(ValueError, match=rf"expectations\.yaml, entry 1 .*{message}"):
        read(ENTRY.replace(old, new))


@pytest.mark.parametrize("severity", ["row", "warn"])
def test_arguments_that_are_refused_are_not_offered(severity):
    wrong = ENTRY.replace("regex: '[0-9]'", "rexeg: x").replace("severity: row", f"severity: {severity}")
    with pytest.raises(ValueError, match="takes") as error:
        read(wrong)
    offered = str(error.value).partition(" takes ")[2].split(", ")
    assert offered == (["column", "regex"] if severity == "row" else ["column", "mostly", "regex"])


@pytest.mark.parametrize(("text", "message"), [("a: 1", "holds no list"), ("[", "is not valid YAML")])
def test_a_file_that_is_no_list_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        read(text)


def test_a_missing_file_is_refused():
    with pytest.raises(ValueError, match=r"nothing\.yaml is not here; an empty list, \[\], is enough"):
        read_expectations(Path("nothing.yaml"))
