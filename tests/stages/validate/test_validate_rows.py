from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bertline.rows import schema as rows_module
from bertline.rows.labels import LABEL_SEPARATOR, MULTI_LABEL, OUT_OF_SCOPE, SINGLE_LABEL
from bertline.rows.schema import ROW_SCHEMA
from bertline.stages.validate.checks import build_suite
from bertline.stages.validate.custom_checks import read_expectations
from bertline.stages.validate.quarantine.table import QUARANTINE
from bertline.stages.validate.report import write_report
from bertline.stages.validate.result import BatchMetric, Outcome
from bertline.stages.validate.validate_rows import describe, validate_rows
from tests.support.validating import GOOD, failed, judge_rows, rows, validate_params

SPARSE = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_a_good_batch_passes_whole():
    verdict, kept, quarantined = judge_rows(rows(*GOOD))
    assert verdict.passed
    assert all(outcome.passed for outcome in verdict.expectations)
    assert kept.equals(rows(*GOOD))
    assert len(quarantined) == 0


@pytest.mark.parametrize(
    ("pair", "rule", "reason"),
    [
        ((None, "ham"), "text_not_null", "text must be present"),
        (("", "ham"), "text_not_blank", "text must be more than white space (of a pair, both)"),
        ((" \u3000\t", "ham"), "text_not_blank", "text must be more than white space (of a pair, both)"),
        (("x" * 41, "ham"), "text_length", "text must be 1 to 40 characters"),
        (("na\ufffdve", "ham"), "text_damaged", "text must be at most 0.05 damaged"),
        (("caf\u00c3\u00a9", "ham"), "text_damaged", "text must be at most 0.05 damaged"),
        (("\u0434\u0430", "ham"), "text_script", "text must be mostly Latin"),
        (("e", None), "label_not_null", "label must be present"),
        (("e", " "), "label_not_blank", "label must be more than white space"),
        (("e", "eggs"), "label_known", "label must be one of: ham, spam"),
        ((None, None), "text_not_null", "text must be present"),
    ],
)
def test_a_bad_row_is_set_aside_with_the_first_rule_it_broke(pair, rule, reason):
    table = rows(GOOD[0], pair, *GOOD[1:])
    verdict, kept, quarantined = judge_rows(table, labels=["ham", "spam"], scripts=["Latin"])
    assert verdict.passed
    assert kept["text"].to_pylist() == ["a", "b", "c", "d"]
    assert quarantined.select(ROW_SCHEMA.names).equals(table.slice(1, 1))
    assert quarantined["rule"].to_pylist() == [rule]
    assert quarantined["reason"][0].as_py().startswith(reason)
    assert quarantined.schema.equals(QUARANTINE)


def test_a_record_that_could_not_be_read_says_why():
    faults = [None, "line 7 has 3 fields, 2 are needed", None, None, None]
    table = rows(GOOD[0], ("x,y,z", None), *GOOD[1:], fault=faults)
    quarantined = judge_rows(table).quarantined
    assert quarantined["rule"].to_pylist() == ["readable"]
    assert quarantined["reason"].to_pylist() == ["line 7 has 3 fields, 2 are needed"]


@pytest.mark.parametrize(
    ("moment", "sane"),
    [
        (datetime(1989, 12, 31, 23, 59, tzinfo=UTC), False),
        (datetime(1990, 1, 1, tzinfo=UTC), True),
        (datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC), True),
        (datetime(2026, 2, 1, tzinfo=UTC), False),
        (None, True),
    ],
)
def test_a_time_stamp_out_of_bounds_is_set_aside(moment, sane):
    table = rows(*GOOD, ("e", "ham"), timestamp=[None, None, None, None, moment])
    quarantined = judge_rows(table, latest="2026-01-31").quarantined
    assert quarantined["rule"].to_pylist() == ([] if sane else ["timestamp_sane"])


def test_rows_of_one_text_with_two_labels_are_all_set_aside():
    verdict, kept, quarantined = judge_rows(rows(*GOOD, ("E", "ham"), ("e ", "spam")))
    assert quarantined["text"].to_pylist() == ["E", "e "]
    assert set(quarantined["rule"].to_pylist()) == {"label_conflict"}
    assert (verdict.rows_in, verdict.rows_kept, verdict.rows_quarantined) == (6, len(kept), 2)


@pytest.mark.parametrize("space", [SINGLE_LABEL, MULTI_LABEL])
def test_an_unknown_label_does_not_condemn_the_known_one_of_the_same_text(space):
    table = rows(*GOOD, ("a", "hma"))
    quarantined = judge_rows(table, space=space, labels=["ham", "spam"]).quarantined
    assert quarantined["label"].to_pylist() == ["hma"]


def test_each_of_several_labels_is_judged_and_counted_and_none_is_fine():
    both, unknown = LABEL_SEPARATOR.join(["ham", "spam"]), LABEL_SEPARATOR.join(["ham", "x"])
    table = rows(*GOOD, ("e", both), ("f", ""), ("g", unknown), ("h", f"{LABEL_SEPARATOR}ham"))
    judged = judge_rows(table, space=MULTI_LABEL, labels=["ham", "spam"])
    assert judged.quarantined["rule"].to_pylist() == ["label_known", "label_not_blank"]
    assert judged.outcomes["rows_per_class"].observed == {"ham": 3, "spam": 3}
    assert judged.outcomes["labels"].observed == 2


@pytest.mark.parametrize("labels", [None, ["ham", "spam"], ["ham", "spam", OUT_OF_SCOPE]])
@pytest.mark.parametrize("space", [SINGLE_LABEL, MULTI_LABEL])
def test_a_row_out_of_scope_is_kept_and_is_counted_in_no_class(space, labels):
    table = rows(*GOOD, ("e", OUT_OF_SCOPE))
    verdict, kept, _ = judged = judge_rows(table, space=space, labels=labels)
    assert verdict.passed
    assert kept.equals(table)
    assert (verdict.rows_kept, verdict.rows_out_of_scope) == (5, 1)
    assert judged.outcomes["rows_per_class"].observed == {"ham": 2, "spam": 2}
    assert [judged.outcomes[name].observed for name in ("rows_kept", "labels", "imbalance")] == [4, 2, 1]


def test_rows_out_of_scope_are_no_drift_and_none_of_the_texts_measured():
    measured = []

    def measure(sample):
        measured.extend(sample["text"].to_pylist())
        return {}

    old = [(f"thing {i}", ("ham", "spam")[i % 2]) for i in range(10, 50)]
    new = [(f"thing {i}", ("ham", "spam")[i % 2]) for i in range(50, 90)]
    other = [(f"something else {i}", OUT_OF_SCOPE) for i in range(80)]
    batches = ["1"] * 40 + ["2"] * 120
    table = rows(*old, *new, *other).set_column(
        rows_module.ROW_SCHEMA.get_field_index("batch"), "batch", pa.array(batches)
    )
    outcomes = judge_rows(table, measure_tokens=measure).outcomes
    assert [outcomes[f"drift_{name}"].observed for name in ("length", "labels", "vocabulary")] == [0, 0, 0]
    assert sorted(measured) == sorted(text for text, _ in [*old, *new])


def test_one_text_in_a_class_and_out_of_scope_is_a_conflict():
    for labels in (None, ["ham", "spam"]):
        quarantined = judge_rows(rows(*GOOD, ("e", "ham"), ("E", OUT_OF_SCOPE)), labels=labels).quarantined
        assert quarantined["text"].to_pylist() == ["e", "E"]
        assert set(quarantined["rule"].to_pylist()) == {"label_conflict"}


@pytest.mark.parametrize("known", [[], [("a", "ham"), ("b", "ham"), ("c", "ham"), ("d", "ham")]])
def test_fewer_than_two_classes_beside_rows_out_of_scope_stop_the_batch_with_the_next_step(known):
    table = rows(*known, *((f"other {i}", OUT_OF_SCOPE) for i in range(6)))
    line = failed(table)
    assert f"labels is {len({label for _, label in known})} (allowed: at least 2); " in line
    assert line.endswith(
        "6 rows labelled __out_of_scope__ belong to no class; add rows of at least two classes"
    )


def test_both_texts_of_a_pair_are_judged():
    pairs = ["one", "two", "three", " ", "\ufffd\ufffd"]
    table = rows(*GOOD, ("e", "ham"), text_pair=pairs)
    quarantined = judge_rows(table, min_rows=3, min_rows_per_class=1).quarantined
    assert quarantined["rule"].to_pylist() == ["text_not_blank", "text_damaged"]


@pytest.mark.parametrize("second", ["", " \u3000"])
def test_a_pair_without_its_second_text_is_set_aside_and_the_reason_names_it(second):
    table = rows(*GOOD, text_pair=["one", "two", "three", second])
    quarantined = judge_rows(table, min_rows=3, min_rows_per_class=1).quarantined
    assert quarantined["text"].to_pylist() == ["d"]
    assert quarantined["reason"].to_pylist() == ["text must be more than white space (of a pair, both)"]


def test_no_label_and_some_label_of_one_text_contradict_each_other_where_several_are_allowed():
    table = rows(*GOOD, ("e", "ham"), ("E", ""), ("f", ""))
    for labels in (None, ["ham", "spam"]):
        quarantined = judge_rows(table, space=MULTI_LABEL, labels=labels).quarantined
        assert quarantined["text"].to_pylist() == ["e", "E"]
        assert set(quarantined["rule"].to_pylist()) == {"label_conflict"}


def test_a_row_expectation_observes_how_many_rows_broke_it():
    outcomes = judge_rows(rows(*GOOD, (None, "ham"), (None, None))).outcomes
    observed = {name: outcome.observed for name, outcome in outcomes.items()}
    assert (observed["text_not_null"], observed["label_not_null"], observed["text_length"]) == (2, 1, 0)


def test_too_few_rows_kept_stop_the_batch():
    assert failed(rows(*GOOD, (None, "x")), min_rows=5).startswith("rows_kept is 4 (allowed: at least 5); ")


def test_a_single_label_stops_the_batch():
    line = failed(rows(*(pair for pair in GOOD if pair[1] == "ham")), min_rows=1)
    assert line == "labels is 1 (allowed: at least 2)"


def test_too_small_a_class_stops_the_batch_by_its_name():
    assert failed(rows(*GOOD, ("e", "x"))) == "label 'x' has 1 row (allowed: at least 2)"


def test_an_allowed_label_without_rows_is_too_small_a_class():
    line = failed(rows(*GOOD), labels=["ham", "spam", "x"])
    assert line == "label 'x' has 0 rows (allowed: at least 2)"


def test_too_large_a_share_of_bad_rows_stops_the_batch():
    line = failed(rows(*GOOD, (None, "ham")), max_quarantined=0.1)
    assert line == (
        "share_quarantined is 0.2 (allowed: at most 0.1); 1 of 5 rows were quarantined; 1 of them: "
        "text must be present; to see them: bertline quarantine show --rule text_not_null"
    )


def test_a_share_at_the_bound_is_allowed():
    assert failed(rows(*GOOD, (None, "ham")), max_quarantined=0.2) == ""


def test_every_failure_is_named():
    line = failed(rows(*GOOD, (None, "ham")), max_quarantined=0.1, min_rows=5)
    assert "share_quarantined" in line
    assert "rows_kept" in line


def test_an_empty_batch_is_stopped_not_a_crash():
    assert "rows_kept is 0 (allowed: at least 4)" in failed(ROW_SCHEMA.empty_table())


def test_a_batch_of_bad_rows_only_is_stopped_not_a_crash():
    assert "share_quarantined is 1 (allowed: at most 0.5)" in failed(rows((None, "ham"), ("a", None)))


def test_great_expectations_prints_nothing(capfd):
    judge_rows(rows(*GOOD, (None, "ham")))
    assert capfd.readouterr() == ("", "")


def test_a_warning_does_not_stop_the_batch_and_its_severity_can_be_raised():
    table = rows(*GOOD, ("e", "ham"), ("f", "ham"))
    outcome = judge_rows(table, max_imbalance=1.5).outcomes["imbalance"]
    assert (outcome.severity, outcome.passed, outcome.observed) == ("warn", False, 2.0)
    line = failed(table, max_imbalance=1.5, severity={"imbalance": "batch"})
    assert line == "4 rows of 'ham' and 2 of 'spam' (imbalance is 2, allowed: at most 1.5)"


def test_what_cannot_be_observed_is_absent():
    outcomes = judge_rows(rows(*GOOD)).outcomes
    assert not {"unknown_tokens", "truncated", "drift_length", "share_duplicates"} & set(outcomes)


def test_a_fact_that_is_known_already_is_judged():
    known = {"share_duplicates": BatchMetric(0.75)}
    outcome = judge_rows(rows(*GOOD), extra_metrics=known).outcomes["share_duplicates"]
    assert (outcome.severity, outcome.passed, outcome.observed) == ("warn", False, 0.75)


def test_unknown_tokens_stop_the_batch_with_the_reason():
    texts = []

    def measure_tokens(sample):
        texts.extend(sample["text"].to_pylist())
        return {"unknown_tokens": BatchMetric(0.62, "62 % of the tokens are unknown")}

    line = failed(rows(*GOOD, (None, "ham")), measure_tokens=measure_tokens)
    assert line == "62 % of the tokens are unknown (unknown_tokens is 0.62, allowed: at most 0.05)"
    assert sorted(texts) == ["a", "b", "c", "d"]


def test_drift_is_measured_between_the_batch_that_first_appears_last_and_all_others():
    old = [(f"the quick fox {number}", "ham" if number % 2 else "spam") for number in range(200)]
    new = [(f"etwas ganz anderes hier {number}", "ham") for number in range(200)]
    table = rows(*old, *new)
    # A late row of the first batch: the newest is the one that appears last for the first time.
    batches = ["one"] * 200 + ["two"] * 199 + ["one"]
    table = table.set_column(table.column_names.index("batch"), "batch", pa.array(batches))
    outcomes = judge_rows(table).outcomes
    assert outcomes["drift_labels"].observed > 0.2
    assert outcomes["drift_vocabulary"].observed > 0.2
    assert outcomes["drift_labels"].severity == "warn"


def in_batches(*batches):
    """Return rows of (name, time stamps) each; the labels tell which batch is the newest."""
    names = [name for name, stamps in batches for _ in stamps]
    pairs = [(f"text {number}", f"label {name}") for number, name in enumerate(names)]
    table = rows(*pairs, timestamp=[stamp for _, stamps in batches for stamp in stamps])
    return table.set_column(table.column_names.index("batch"), "batch", pa.array(names))


def days(*numbers):
    return [None if number is None else datetime(2026, 1, number, tzinfo=UTC) for number in numbers]


@pytest.mark.parametrize(
    ("batches", "newest"),
    [
        ([("a", days(1, 2)), ("b", days(3, 4))], "b"),
        ([("b", days(3, 9)), ("a", days(8, 2))], "b"),  # the latest of each counts, not the order
        ([("b", days(3, None)), ("a", days(2, 1))], "b"),  # a time stamp of one row is enough
        ([("b", days(3, 4)), ("a", days(None, None))], "a"),  # one has none: order decides
        ([("b", days(3, 4)), ("a", days(4, 3))], "a"),  # as old as each other: order decides
        ([("b", days(3, 4)), ("a", [*days(2), datetime(2999, 1, 1, tzinfo=UTC)])], "b"),  # out of bounds
        ([("b", [datetime(1970, 1, 1, tzinfo=UTC)] * 2), ("a", [datetime(1960, 1, 1, tzinfo=UTC)] * 2)], "b"),
    ],
)
def test_the_newest_batch_is_the_one_with_the_latest_time_stamp_or_else_the_last_in_order(
    batches, newest, monkeypatch
):
    monkeypatch.setattr(rows_module, "CHUNK", 1)
    table = in_batches(*batches)
    knobs = {"min_rows": 1, "min_rows_per_class": 1, "earliest": "1950-01-01", "latest": "2026-12-31"}
    detail = judge_rows(table, **knobs).outcomes["drift_labels"].detail
    assert detail.startswith(f"label {newest} is 100 % of the newest batch")


OBSERVES_VALUES = """
- {name: values, severity: warn, expect: EXPECT, column: text, value_set: [a], allowed: only a}
"""


@pytest.mark.parametrize(
    ("expect", "detail"),
    [
        ("column_most_common_value_to_be_in_set", "4 values"),
        ("column_distinct_values_to_be_in_set", "4 unexpected values"),
        ("column_distinct_values_to_contain_set", "1 missing value"),
    ],
)
def test_a_rule_that_observes_texts_reports_how_many_not_which(expect, detail):
    Path("expectations.yaml").write_text(OBSERVES_VALUES.replace("EXPECT", expect))
    secrets = [("secret one", "ham"), ("secret two", "ham"), ("secret three", "spam"), ("secret 4", "spam")]
    judged = judge_rows(rows(*secrets), own=read_expectations(Path("expectations.yaml")))
    outcome = judged.outcomes["values"]
    assert (outcome.passed, outcome.observed, outcome.detail) == (False, None, detail)
    assert describe(outcome) == f"{detail} (values, allowed: only a)"
    write_report(judged.verdict, {"lines_in": 4, "duplicates": 0, "rows_out": 4}, Path("report"))
    assert all("secret" not in written.read_text() for written in Path("report").iterdir())


def test_a_rule_that_observes_nothing_is_described_without_a_number():
    nothing = {"name": "first", "column": "text", "severity": "warn", "observed": None, "allowed": "a"}
    assert describe(Outcome(passed=False, **nothing)) == "first (allowed: a)"


def test_labels_of_the_parameters_are_compared_as_ingest_writes_labels():
    table = rows(("a", "th\u00e9"), ("b", "th\u00e9"), ("c", "spam"), ("d", "spam"))
    assert judge_rows(table, labels=["the\u0301", "spam"]).kept.equals(table)


TEXTS = st.one_of(st.none(), st.text(max_size=45), st.sampled_from(["a", "A", "\ufffd", "x" * 50]))
STOPPING = ("rows_kept", "labels", "rows_per_class", "share_quarantined")
LABELS = st.sampled_from([None, "", "ham", "spam", "eggs"])


@SPARSE
@given(st.lists(st.tuples(TEXTS, LABELS), min_size=1, max_size=60, unique=True))
def test_rows_in_are_rows_kept_plus_rows_quarantined_in_their_order(pairs):
    table = rows(*pairs)
    judged = judge_rows(table, labels=["ham", "spam"], min_rows=1, severity=dict.fromkeys(STOPPING, "warn"))
    kept, aside = (judged.kept["id"].to_pylist(), judged.quarantined["id"].to_pylist())
    order = {name: position for position, name in enumerate(table["id"].to_pylist())}
    assert len(order) == len(table)
    assert sorted([*kept, *aside], key=order.__getitem__) == list(order)
    assert [kept, aside] == [sorted(each, key=order.__getitem__) for each in (kept, aside)]
    assert judged.verdict.rows_in == judged.verdict.rows_kept + judged.verdict.rows_quarantined


@SPARSE
@given(st.lists(st.tuples(TEXTS, LABELS), min_size=1, max_size=60, unique=True), st.integers(1, 20))
def test_the_size_of_the_chunks_changes_nothing(pairs, chunk):
    warn = dict.fromkeys(STOPPING, "warn")
    whole = judge_rows(rows(*pairs), labels=["ham", "spam"], severity=warn)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows_module, "CHUNK", chunk)
        in_chunks = judge_rows(rows(*pairs), labels=["ham", "spam"], severity=warn)
    assert in_chunks.verdict == whole.verdict
    assert in_chunks.kept.equals(whole.kept)
    assert in_chunks.quarantined.equals(whole.quarantined)


def test_wrong_columns_are_an_error_that_names_them():
    pq.write_table(rows(*GOOD).drop_columns(["label"]), "rows.parquet")
    params, paths = validate_params(), {"validated": Path("kept"), "quarantine": Path("aside")}
    with pytest.raises(ValueError, match=r"rows\.parquet has columns id: string.*expected .*label: string"):
        validate_rows(Path("rows.parquet"), params, build_suite(params, []), reviews={}, **paths)
