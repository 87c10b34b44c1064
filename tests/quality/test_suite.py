import pyarrow as pa
import pytest

from bertline.corpus.rows import ROWS, with_ids
from bertline.params.validate import Params
from bertline.quality.suite import explain, judge

KNOBS = {
    "labels": None,
    "min_characters": 1,
    "max_characters": 20,
    "min_rows": 4,
    "min_rows_per_class": 2,
    "max_quarantined": 0.5,
}
GOOD = [("a", "ham"), ("b", "ham"), ("c", "spam"), ("d", "spam")]


def rows(*pairs):
    texts, labels = zip(*pairs, strict=True)
    columns = {"text": pa.array(texts, pa.string()), "label": pa.array(labels, pa.string())}
    stamps = pa.nulls(len(pairs), ROWS.field("timestamp").type)
    return with_ids(pa.table({**columns, "source": ["test"] * len(pairs), "timestamp": stamps}))


def failed(table, **knobs):
    """Return the one line on the batch expectations that failed."""
    params = Params(**(KNOBS | knobs))
    verdict, _, _ = judge(table, params)
    assert verdict.passed is (explain(verdict, params) == "")
    return explain(verdict, params)


def test_a_good_batch_passes_whole():
    verdict, kept, quarantined = judge(rows(*GOOD), Params(**KNOBS))
    assert verdict.passed
    assert all(outcome.passed for outcome in verdict.expectations)
    assert kept.equals(rows(*GOOD))
    assert len(quarantined) == 0


@pytest.mark.parametrize(
    ("pair", "rule", "reason"),
    [
        ((None, "ham"), "text_not_null", "text must be present"),
        (("", "ham"), "text_not_blank", "text must be more than white space"),
        ((" \u3000\t", "ham"), "text_not_blank", "text must be more than white space"),
        (("x" * 21, "ham"), "text_length", "text must be 1 to 20 characters"),
        (("e", None), "label_not_null", "label must be present"),
        (("e", " "), "label_not_blank", "label must be more than white space"),
        (("e", "eggs"), "label_known", "label must be one of: ham, spam"),
        ((None, None), "text_not_null", "text must be present"),
    ],
)
def test_a_bad_row_is_set_aside_with_the_first_rule_it_broke(pair, rule, reason):
    table = rows(GOOD[0], pair, *GOOD[1:])
    verdict, kept, quarantined = judge(table, Params(**(KNOBS | {"labels": ["ham", "spam"]})))
    assert verdict.passed
    assert kept["text"].to_pylist() == ["a", "b", "c", "d"]
    assert quarantined.select(ROWS.names).equals(table.slice(1, 1))
    assert (quarantined["rule"].to_pylist(), quarantined["reason"].to_pylist()) == ([rule], [reason])


def test_rows_of_one_text_with_two_labels_are_all_set_aside():
    verdict, kept, quarantined = judge(rows(*GOOD, ("E", "ham"), ("e ", "spam")), Params(**KNOBS))
    assert quarantined["text"].to_pylist() == ["E", "e "]
    assert set(quarantined["rule"].to_pylist()) == {"label_conflict"}
    assert (verdict.rows_in, verdict.rows_kept, verdict.rows_quarantined) == (6, len(kept), 2)


def test_an_unknown_label_does_not_condemn_the_known_one_of_the_same_text():
    _, _, quarantined = judge(rows(*GOOD, ("a", "hma")), Params(**(KNOBS | {"labels": ["ham", "spam"]})))
    assert quarantined["label"].to_pylist() == ["hma"]


def test_a_row_expectation_observes_how_many_rows_broke_it():
    verdict, _, _ = judge(rows(*GOOD, (None, "ham"), (None, None)), Params(**KNOBS))
    observed = {outcome.name: outcome.observed for outcome in verdict.expectations}
    assert (observed["text_not_null"], observed["label_not_null"], observed["text_length"]) == (2, 1, 0)


def test_too_few_rows_kept_stop_the_batch():
    assert failed(rows(*GOOD, (None, "x")), min_rows=5) == "rows_kept is 4 (allowed: at least 5)"


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
    assert line == "share_quarantined is 0.2 (allowed: at most 0.1)"


def test_a_share_at_the_bound_is_allowed():
    assert failed(rows(*GOOD, (None, "ham")), max_quarantined=0.2) == ""


def test_every_failure_is_named():
    line = failed(rows(*GOOD, (None, "ham")), max_quarantined=0.1, min_rows=5)
    assert "share_quarantined" in line
    assert "rows_kept" in line


def test_a_missing_column_stops_the_batch():
    line = failed(rows(*GOOD).drop_columns(["label"]))
    assert line.startswith(
        "columns is id, text, source, timestamp (allowed: id, text, label, source, timestamp)"
    )


@pytest.mark.parametrize(
    ("column", "values", "found"),
    [
        ("label", pa.array([0, 1, 0, 1]), "type_of_label is int64 (allowed: string)"),
        (
            "timestamp",
            pa.nulls(4, pa.timestamp("ns", "UTC")),
            "type_of_timestamp is timestamp[ns, tz=UTC] (allowed: timestamp[us, tz=UTC])",
        ),
    ],
)
def test_a_wrong_type_stops_the_batch(column, values, found):
    table = rows(*GOOD)
    assert failed(table.set_column(table.column_names.index(column), column, values)) == found


def test_an_empty_batch_is_stopped_not_a_crash():
    assert "rows_kept is 0 (allowed: at least 4)" in failed(ROWS.empty_table())


def test_a_batch_of_bad_rows_only_is_stopped_not_a_crash():
    assert "share_quarantined is 1 (allowed: at most 0.5)" in failed(rows((None, "ham"), ("a", None)))


def test_great_expectations_prints_nothing(capfd):
    judge(rows(*GOOD, (None, "ham")), Params(**KNOBS))
    assert capfd.readouterr() == ("", "")
