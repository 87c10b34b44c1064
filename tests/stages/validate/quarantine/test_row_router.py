"""The decisions of people on quarantined rows hold."""

import pytest

from bertline.stages.validate.quarantine.reviews import Review
from tests.support.validating import GOOD, judge_rows, rows


def review(table, row, decision, rule):
    name = table["id"][row].as_py()
    return {name: Review(id=name, decision=decision, rule=rule, reviewer="me", note="")}


def test_a_released_row_is_kept():
    table = rows(*GOOD, ("x" * 50, "ham"))
    judged = judge_rows(table, reviews=review(table, 4, "release", "text_length"))
    assert judged.kept.equals(table)
    assert (judged.verdict.rows_released, judged.verdict.rows_kept) == (1, 5)


@pytest.mark.parametrize(
    ("pair", "rule", "left"),
    [
        (("x" * 50, "eggs"), "text_length", "label_known"),
        (("x" * 50, "eggs"), "label_known", "text_length"),
        (("x" * 50, "ham"), "text_damaged", "text_length"),
    ],
)
def test_a_row_released_for_one_rule_is_listed_under_the_next(pair, rule, left):
    table = rows(*GOOD, pair)
    judged = judge_rows(table, labels=["ham", "spam"], reviews=review(table, 4, "release", rule))
    assert judged.quarantined["rule"].to_pylist() == [left]
    assert judged.verdict.rows_released == 0


def test_a_row_released_for_all_its_rules_is_kept():
    table = rows(*GOOD, ("x" * 50, "eggs"))
    both = review(table, 4, "release", "label_known text_length")
    judged = judge_rows(table, labels=["ham", "spam"], reviews=both, min_rows_per_class=1)
    assert judged.kept.equals(table)


def test_a_dropped_row_stays_in_quarantine_and_does_not_count_against_the_batch():
    table = rows(*GOOD, (None, "ham"))
    reviews = review(table, 4, "drop", "text_not_null")
    judged = judge_rows(table, reviews=reviews, max_quarantined=0.1)
    assert judged.quarantined["decision"].to_pylist() == ["drop"]
    assert judged.outcomes["share_quarantined"].observed == 0


def test_a_dropped_row_stays_in_quarantine_also_where_no_rule_sets_it_aside_any_more():
    table = rows(*GOOD, ("e", "ham"))
    verdict, kept, quarantined = judge_rows(table, reviews=review(table, 4, "drop", "text_length"))
    assert kept.equals(table.slice(0, 4))
    assert quarantined.select(["id", "rule", "decision"]).to_pylist() == [
        {"id": table["id"][4].as_py(), "rule": "dropped", "decision": "drop"}
    ]
    assert verdict.rows_quarantined == 1


def test_decisions_on_rows_that_are_not_here_are_counted():
    table = rows(*GOOD, ("e", "ham"))
    reviews = review(table, 4, "drop", "text_length") | review(table, 3, "release", "text_length")
    assert judge_rows(table, reviews=reviews).verdict.reviews_of_no_row == 0
    assert judge_rows(rows(*GOOD), reviews=reviews).verdict.reviews_of_no_row == 1
