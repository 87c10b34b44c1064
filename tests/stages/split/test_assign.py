from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertline.rows.io import write_rows
from bertline.rows.labels import MULTI_LABEL, SINGLE_LABEL
from bertline.rows.schema import make_rows
from bertline.rows.text_key import add_ids
from bertline.stages.ingest.samples import read_sample
from bertline.stages.split.assign import SIDES, count_classes, deal, missing_sides, official_sides, template
from tests.support.params import section

DATES = {"validation_from": "2026-02-01", "test_from": "2026-03-01"}
TREC = sorted(set(read_sample("sample:trec").texts))


def params(**knobs):
    return section("split", **{"near_duplicates": None} | knobs)


def sides(texts, official=(), *, knobs=None, **columns):
    rows = add_ids(make_rows(texts, "x", **columns))
    return [SIDES[code] for code in deal([rows], params(**knobs or {}), official)]


def side(text, **knobs):
    return sides([text], knobs=knobs)[0]


# By content


@settings(deadline=None)  # a busy machine is no failure
@given(texts=st.lists(st.text(min_size=1), min_size=1, max_size=20), data=st.data())
def test_no_other_row_and_no_order_moves_a_row(texts, data):
    shuffled = data.draw(st.permutations(texts))
    assert dict(zip(shuffled, sides(shuffled), strict=True)) == {text: side(text) for text in texts}


@settings(deadline=None)
@given(text=st.text(min_size=1))
def test_equal_texts_lie_on_the_same_side(text):
    folded = text.upper().lower()
    assert side(folded) == side(f" {folded}\n")


def test_the_documented_side_stays_what_it_is():
    # A champion's test rows must never become training rows of a later version of this code.
    dealt = {key: side(key) for key in "abcdefghijklmnop"}
    assert [key for key, name in dealt.items() if name == "test"] == ["d", "i", "p"]
    assert [key for key, name in dealt.items() if name == "validation"] == ["g"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Your code is 1234", "your code is 99!"),
        ("See https://t.co/x1 now", "See www.example.org/a?b=c now"),
        ("Mail jo.doe@example.com, please", "Mail: x@y.org please"),
        ("ÉTÉ 2025", "été 2026"),
        ("订单 12 已发货", "订单 345 已发货!"),
    ],
)
def test_texts_that_differ_in_digits_punctuation_or_addresses_share_a_template(one, other):
    assert template(one) == template(other)


@pytest.mark.parametrize(
    ("one", "other"), [("12345", "12346"), ("😀", "😡"), ("a@b.org", "c@d.org"), ("yes", "no")]
)
def test_texts_without_letters_in_common_keep_templates_of_their_own(one, other):
    assert template(one) != template(other)


@settings(deadline=None)
@given(text=st.text(st.characters(max_codepoint=0x7F)), rest=st.sampled_from(["", "é"]))
def test_the_fast_way_for_ascii_finds_the_same_letters(text, rest):
    letters = template(f"{text} z é").removesuffix("é")
    assert template(f"{text} z") == letters


def test_an_address_pattern_takes_linear_time_in_texts_without_spaces():
    assert template("a" * 200_000 + "@") == "a" * 200_000


def test_the_side_of_a_pair_depends_on_both_texts():
    second = [f"second {chr(97 + number)}" for number in range(26)]
    assert set(sides(["first"] * 26, text_pair=second)) == set(SIDES)
    assert len(set(sides(["first"] * 26, text_pair=[f"second {number}" for number in range(26)]))) == 1


def test_another_seed_deals_anew():
    assert sides(TREC, knobs={"seed": 1}) != sides(TREC, knobs={"seed": 2})


def test_another_validation_share_moves_no_test_row():
    first, second = (sides(TREC, knobs={"validation": share}) for share in (0.1, 0.3))
    assert [name == "test" for name in first] == [name == "test" for name in second]
    assert second.count("validation") > first.count("validation")


@pytest.mark.parametrize("seed", range(1, 6))
@pytest.mark.parametrize("sample", ["sample:trec", "sample:sms-spam"])
def test_every_class_gets_its_share_within_four_standard_deviations(sample, seed):
    found = read_sample(sample)
    rows = dict(zip(found.texts, found.labels, strict=True))
    dealt = dict(zip(rows, sides(list(rows), knobs={"seed": seed}), strict=True))
    for label in set(rows.values()):
        own = [dealt[text] for text in rows if rows[text] == label]
        for name, share in (("validation", 0.1), ("test", 0.15)):
            assert abs(own.count(name) / len(own) - share) < 4 * (share * (1 - share) / len(own)) ** 0.5


# By group


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.text(min_size=1), st.sampled_from("abcdefgh")), min_size=1, max_size=30), st.data()
)
def test_a_group_lies_on_one_side_and_no_other_row_moves_it(found, data):
    shuffled = data.draw(st.permutations(found))
    dealt = in_groups(shuffled, group_column="customer")
    assert dealt == [in_groups([row], group_column="customer")[0] for row in shuffled]
    assert len({(group, name) for (_, group), name in zip(shuffled, dealt, strict=True)}) == len(
        {group for _, group in shuffled}
    )


def in_groups(found, **knobs):
    extra = [[("customer", group)] if group else None for _, group in found]
    return sides([text for text, _ in found], extra=extra, knobs=knobs)


def test_a_row_without_a_group_is_dealt_by_its_template():
    assert in_groups([(text, None) for text in TREC[:500]], group_column="customer") == sides(TREC[:500])


def test_groups_get_their_share_of_the_sides():
    dealt = in_groups([("same", f"{number}") for number in range(4000)], group_column="customer")
    assert abs(dealt.count("test") / 4000 - 0.15) < 4 * (0.15 * 0.85 / 4000) ** 0.5


def test_over_all_folds_each_group_is_tested_once():
    found = [("same", f"{number}") for number in range(60)]
    tested = [in_groups(found, group_column="customer", folds=3, fold=fold) for fold in range(3)]
    assert all(names.count("test") == 1 for names in zip(*tested, strict=True))


def test_the_delivery_may_be_the_group():
    assert len(set(sides(TREC[:200], batch="one", knobs={"group_column": "batch"}))) == 1


def test_an_official_side_goes_before_the_group():
    rows = {"side": ["test", None], "batch": "one"}
    assert sides(["a", "b"], {"test", "validation"}, knobs={"group_column": "batch"}, **rows) == [
        "test",
        "train",
    ]


# By the source, by time, by folds


def test_a_row_keeps_its_official_side():
    own = ["test", "validation", None, "test"]
    dealt = sides(["a", "b", "c", "e"], {"test", "validation"}, side=own)
    assert dealt == ["test", "validation", "train", "test"]


def test_beside_an_official_test_split_the_other_rows_are_train_or_validation():
    dealt = sides(TREC, {"test"})
    assert set(dealt) == {"train", "validation"}
    assert abs(dealt.count("validation") / len(dealt) - 0.1) < 0.02


def test_official_sides_are_those_that_rows_name(tmp_path):
    path = tmp_path / "rows.parquet"
    write_rows(add_ids(make_rows(["a", "b"], "x", side=["test", None])), path)
    assert official_sides(path) == {"test"}


def test_an_unknown_official_side_is_an_error_that_says_what_is_allowed(tmp_path):
    path = tmp_path / "rows.parquet"
    write_rows(add_ids(make_rows(["a"], "x", side="dev")), path)
    with pytest.raises(ValueError, match=r"'side' holds 'dev'; allowed: validation, test, null"):
        official_sides(path)


def test_by_time_the_newest_rows_are_the_test_split():
    days = [(1, 31), (2, 1), (2, 28), (3, 1), (4, 1)]
    stamps = [datetime(2026, month, day, tzinfo=UTC) for month, day in days]
    dealt = sides(list("abcde"), knobs=DATES, timestamp=stamps)
    assert dealt == ["train", "validation", "validation", "test", "test"]


def test_rows_without_a_timestamp_are_counted_where_rows_are_dealt_by_time():
    stamps = [datetime(2026, 1, 1, tzinfo=UTC), None, None]
    with pytest.raises(ValueError, match=r"2 rows have no timestamp.*ingest\.timestamp_column"):
        sides(list("abc"), knobs=DATES, timestamp=stamps)
    assert sides(list("abc"), {"test"}, knobs=DATES, timestamp=stamps, side=[None, "test", "test"])


@pytest.mark.parametrize("k", [3, 5, 7])
def test_over_all_folds_each_row_is_once_test_and_once_validation(k):
    folds = [sides(TREC, knobs={"folds": k, "fold": fold}) for fold in range(k)]
    for dealt in zip(*folds, strict=True):
        assert sorted(dealt) == ["test"] + ["train"] * (k - 2) + ["validation"]
    assert all(abs(dealt.count("test") * k / len(TREC) - 1) < 0.15 for dealt in folds)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"folds": 2}, r"folds is 2; allowed: null, or >= 3"),
        ({"folds": 3, "fold": 3}, r"fold is 3; allowed: 0 to folds - 1 \(2\)"),
        ({"fold": 1}, r"fold is 1"),
        ({"test_from": "2026-03-01"}, r"validation_from is None; allowed: a date where the other"),
        ({"validation_from": "2026-03-01"}, r"test_from is None; allowed: a date where the other"),
        (DATES | {"test_from": "2026-01-01"}, r"test_from is '2026-01-01'; allowed: a date after"),
        (DATES | {"test_from": "March"}, r"test_from is 'March'; allowed: null, or an ISO 8601 date"),
        (DATES | {"folds": 3}, r"folds is 3; allowed: null where rows are split by time"),
        ({"near_duplicates": 0.4}, r"near_duplicates is 0\.4; allowed: null, or a similarity from 0\.5"),
        ({"validation": 0.5, "test": 0.5}, r"test is 0\.5; allowed: < 0\.5, so that rows are left"),
    ],
)
def test_an_impossible_knob_is_named_with_what_is_allowed(knobs, message):
    with pytest.raises(ValueError, match=message):
        params(**knobs)


# Classes


def test_a_row_counts_for_each_of_its_labels():
    rows = make_rows(["a", "b", "c"], ["x\x1fy", "", "y"])
    assert MULTI_LABEL.count(rows) == {"x": 1, "y": 2}
    assert SINGLE_LABEL.count(make_rows(["a", "b"], ["x", "y"])) == {"x": 1, "y": 1}


def test_classes_are_counted_and_sorted():
    classes = count_classes({name: {"y": 2, "x": 1} for name in SIDES})
    assert classes == {"x": dict.fromkeys(SIDES, 1), "y": dict.fromkeys(SIDES, 2)}
    assert list(classes) == ["x", "y"]


def test_a_class_without_rows_to_train_on_is_an_error_that_says_what_to_do():
    counts = {name: {"x": 1, "y": 1} for name in SIDES} | {"train": {"x": 1}}
    with pytest.raises(ValueError, match=r"label 'y' has no row in train .*train 0.*split\.seed"):
        count_classes(counts)


@pytest.mark.parametrize(
    ("side", "meaning"), [("validation", "do not see it"), ("test", "nothing is known about how well")]
)
def test_a_class_without_validation_or_test_rows_is_a_warning(side, meaning):
    counts = {name: {"x": 1, "y": 1} for name in SIDES} | {side: {"x": 1}}
    [line] = missing_sides(count_classes(counts))
    assert line.startswith(f"warning: label 'y' has no row in {side} (")
    assert meaning in line


def test_a_class_of_twenty_rows_can_be_trained_on_with_any_seed():
    rows = add_ids(make_rows([f"{chr(97 + i) * 9} a rare kind of question" for i in range(20)], "rare"))
    for seed in range(300):
        sides = deal([rows], section("split", seed=seed), official=frozenset())
        assert (sides == SIDES.index("train")).any()


@pytest.mark.parametrize("empty", ["validation", "test"])
def test_a_side_without_any_row_stops_the_split(empty: str) -> None:
    """As where all rows are of one group, such as one delivery."""
    counts = {name: {"x": 0 if name == empty else 5} for name in SIDES}
    with pytest.raises(ValueError, match=rf"^{empty} has no row; .*split\.group_column"):
        count_classes(counts)
