from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertline.evaluation.slice_rules import Rule
from bertline.evaluation.slices import (
    MAX_PERIODS,
    MAX_VALUES,
    Slices,
    score_slices,
    slices_by_length,
    slices_of,
)
from bertline.rows.labels import MULTI_LABEL, SINGLE_LABEL, LabelSpace
from bertline.rows.schema import make_rows
from bertline.rows.text_key import add_ids

START = datetime(2026, 1, 1, tzinfo=UTC)


def _rows(rows: int = 60, **columns: object) -> pa.Table:
    texts = [f"{'word ' * (i % 7)}number {i}" for i in range(rows)]
    labels = columns.pop("label", ["ham", "spam"] * (rows // 2))
    return add_ids(make_rows(texts, labels, **({"source": "a.csv", "batch": "a"} | columns)))


def _find(rows: pa.Table, space: LabelSpace = SINGLE_LABEL, rules: tuple[Rule, ...] = ()) -> Slices:
    return slices_of(rows, rows["text"].to_pylist(), space, rules)


def _named(found: Slices, group: str) -> dict[str, int]:
    return {each.name: len(each.rows) for each in found.shown if each.group == group}


def _reasons(found: Slices, group: str) -> list[str]:
    return [each["reason"] for each in found.skipped if each["group"] == group]


def test_each_class_is_a_slice():
    assert _named(_find(_rows()), "class") == {"ham": 30, "spam": 30}


def test_a_row_with_several_labels_is_in_the_slice_of_each():
    rows = _rows(label=["a\x1fb", "a", ""] * 20)
    assert _named(_find(rows, MULTI_LABEL), "class") == {"(no label)": 20, "a": 40, "b": 20}


def test_renaming_a_class_changes_no_other_group():
    renamed = _rows(label=["x", "spam"] * 30)
    before, after = (
        [(each.name, each.rows.tolist()) for each in _find(rows).shown if each.group != "class"]
        for rows in (_rows(), renamed)
    )
    assert before == after


@given(st.lists(st.text(max_size=12), min_size=1, max_size=60))
def test_every_row_lies_in_exactly_one_slice_of_length(texts: list[str]):
    _, members = slices_by_length(texts)
    assert sorted(np.concatenate(members)) == list(range(len(texts)))


def test_slices_of_length_are_named_for_the_lengths_in_them():
    names, members = slices_by_length(["a" * n for n in range(1, 9)])
    assert names[0] == "1 to 2 characters"
    assert [len(rows) for rows in members] == [2, 2, 2, 2]


def test_a_slice_of_few_rows_is_counted_and_not_shown():
    found = _find(_rows(source=["a.csv"] * 55 + ["b.csv"] * 5))
    assert _named(found, "source") == {"a.csv": 55}
    assert _reasons(found, "source") == ["1 with fewer than 10 rows: b.csv"]


def test_at_most_three_of_the_slices_of_few_rows_are_named():
    found = _find(_rows(source=["a.csv"] * 40 + [f"{each}.csv" for each in "bcdef" for _ in range(4)]))
    assert _reasons(found, "source") == ["5 with fewer than 10 rows: b.csv, c.csv, d.csv, ..."]


def test_a_column_with_one_value_is_no_group():
    assert _reasons(_find(_rows()), "source") == ["the same for all rows: a.csv"]


def test_a_column_of_ids_is_no_group():
    found = _find(_rows(batch=[f"id {i}" for i in range(60)]))
    assert _reasons(found, "delivery") == ["60 values in 60 rows: nearly each row has its own"]


def test_the_most_frequent_values_of_a_column_are_shown():
    found = _find(_rows(600, batch=[f"{min(i % 30, i % 29):02}" for i in range(600)]))
    assert len(_named(found, "delivery")) == MAX_VALUES
    assert "values beyond the 20 most frequent ones" in _reasons(found, "delivery")[0]


def test_scripts_are_slices():
    texts = [f"{word} {i}" for word in ("word", "слово") for i in range(20)]
    rows = add_ids(make_rows(texts, ["a"] * 40))
    assert _named(_find(rows), "script") == {"Cyrillic": 20, "Latin": 20}


@pytest.mark.parametrize(
    ("step", "first"),
    [
        (timedelta(hours=2), "2026-01-01"),
        (timedelta(hours=16), "week of 2026-01-05"),
        (timedelta(days=3), "2026-01"),
        (timedelta(days=9), "quarter from 2026-01"),
        (timedelta(days=31), "2026"),
        (timedelta(days=365), "2026 to 2077"),
    ],
)
def test_periods_are_as_short_as_leaves_few_of_them(step: timedelta, first: str):
    found = _find(_rows(timestamp=[START + step * i for i in range(60)]))
    names = [each.name for each in found.shown if each.group == "time"]
    assert names[0] == first
    assert len(names) <= MAX_PERIODS


def test_rows_without_a_time_are_a_slice_of_their_own():
    found = _find(_rows(timestamp=[START, None] * 30))
    assert _named(found, "time") == {"2026-01-01": 30, "(no value)": 30}


def test_a_kept_column_is_a_group():
    rows = _rows()
    extra = [[("tier", "gold")], None] * 30
    found = _find(_with_extra(rows, extra))
    assert _named(found, "column tier") == {"(no value)": 30, "gold": 30}


def _with_extra(rows: pa.Table, values: list[object]) -> pa.Table:
    column = pa.array(values, pa.map_(pa.string(), pa.string()))
    if "extra" in rows.column_names:
        return rows.set_column(rows.column_names.index("extra"), "extra", column)
    return rows.append_column("extra", column)


def test_a_rule_of_the_user_is_a_slice():
    found = _find(_rows(), rules=(Rule("spam only", "label = 'spam'"),))
    assert _named(found, "rule") == {"spam only": 30}


def test_a_rule_that_matches_no_row_is_said():
    found = _find(_rows(), rules=(Rule("nothing", "label = 'x'"),))
    assert _reasons(found, "rule") == ["no row matches 'nothing'"]


def test_a_slice_is_scored_on_its_rows():
    right = np.arange(60) % 2 == 0  # each ham is right, no spam is
    scores = score_slices(_find(_rows()), right, 0.95)["slices"]
    ham, spam = (each for each in scores if each["group"] == "class")
    assert (ham["accuracy"], spam["accuracy"]) == (1.0, 0.0)
    assert ham["accuracy_low"] == pytest.approx(0.886, abs=0.001)  # Wilson: 30 / (30 + 1.96**2)


def test_no_rows_have_no_slices():
    assert _find(_rows(0)).shown == []
