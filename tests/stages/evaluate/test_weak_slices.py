import numpy as np
import pytest
from sklearn.metrics import log_loss

from bertline.metrics.significance import q_values
from bertline.stages.evaluate.row_properties import Property
from bertline.stages.evaluate.weak_slices import (
    MIN_ROWS,
    PROPOSALS,
    detectable_points,
    find_weak_slices,
    halves,
    likelihood_ratio,
    propose,
)

ROWS = 4000
CONDITIONS = 20


def _properties(seed: int = 0) -> list[Property]:
    meets = np.random.default_rng(seed).random((CONDITIONS, ROWS)) < 0.25
    return [(f"property {i}", meets[i]) for i in range(CONDITIONS)]


def _find(weak: np.ndarray, drop: float, seed: int = 1) -> dict:
    draw = np.random.default_rng(seed)
    wrong = draw.random(ROWS) < np.where(weak, 0.1 + drop, 0.1)
    return find_weak_slices(_properties(), wrong, np.arange(ROWS) % 2 == 0, 0.95)


def test_a_weak_property_is_the_first_slice_reported():
    weak = _properties()[3][1]
    first = _find(weak, 0.15)["slices"][0]
    assert first["rule"] == "property 3"
    assert first["rows"] == weak[1::2].sum()  # of the half that confirms
    assert first["accuracy"] < first["rest_accuracy"]
    assert first["q_value"] <= 0.05


def test_a_slice_of_two_conditions_is_reported_as_one_rule():
    weak = _properties()[3][1] & _properties()[7][1]
    assert [each["rule"] for each in _find(weak, 0.25)["slices"]] == ["property 3 and property 7"]


def test_a_rule_that_overlaps_a_weak_slice_is_not_reported_for_it():
    weak = _properties()[3][1]
    twin = weak & (np.arange(ROWS) % 10 > 0)  # nine of ten of its rows
    wrong = np.random.default_rng(1).random(ROWS) < np.where(weak, 0.3, 0.1)
    found = find_weak_slices([*_properties(), ("twin", twin)], wrong, np.arange(ROWS) % 2 == 0, 0.95)
    assert len(found["slices"]) == 1


def test_a_rule_that_is_weak_only_among_the_rows_left_is_not_reported():
    weak, better = _properties()[3][1], _properties()[7][1]
    chance = np.where(weak, 0.5, np.where(better, 0.1, 0.02))  # property 7 is right more often than the rest
    wrong = np.random.default_rng(1).random(ROWS) < np.where(weak & better, 0.02, chance)
    found = find_weak_slices(_properties(), wrong, np.arange(ROWS) % 2 == 0, 0.95)["slices"]
    assert all(each["accuracy"] < each["rest_accuracy"] for each in found)


def test_without_weak_slices_few_searches_report_one():
    nothing = np.zeros(ROWS, np.bool_)
    assert sum(bool(_find(nothing, 0.0, seed)["slices"]) for seed in range(40)) <= 4


def test_the_order_of_the_properties_and_of_the_rows_does_not_matter():
    properties = _properties()
    wrong = np.random.default_rng(1).random(ROWS) < np.where(properties[3][1], 0.25, 0.1)
    proposing = np.arange(ROWS) % 2 == 0
    order = np.random.default_rng(2).permutation(ROWS)
    other = [(name, meets[order]) for name, meets in reversed(properties)]
    assert find_weak_slices(properties, wrong, proposing, 0.95) == find_weak_slices(
        other, wrong[order], proposing[order], 0.95
    )


@pytest.mark.parametrize(
    ("rows", "wrong", "reason"),
    [
        (2 * MIN_ROWS - 2, 50, "198 rows; each half needs 100"),
        (400, 9, "9 wrong answers; each half of the rows needs 5"),
        (0, 0, "0 rows; each half needs 100"),
    ],
)
def test_with_too_few_rows_or_mistakes_the_search_is_skipped_with_a_reason(
    rows: int, wrong: int, reason: str
):
    found = find_weak_slices([], np.arange(rows) < wrong, np.arange(rows) % 2 == 0, 0.95)
    assert reason in found["skipped"]
    assert found["slices"] == []


def test_rows_without_properties_have_no_weak_slice():
    found = find_weak_slices([], np.arange(400) % 10 < 2, np.arange(400) < 200, 0.95)
    assert (found["slices"], found["skipped"]) == ([], None)


def test_a_second_condition_must_be_worth_it():
    weak = _properties()[3][1]
    wrong = np.random.default_rng(1).random(ROWS) < np.where(weak, 0.3, 0.1)
    assert len(propose(_properties(), wrong, 20)[0].conditions) == 1


def test_no_row_counts_for_two_proposals():
    wrong = np.random.default_rng(1).random(ROWS) < 0.1
    proposals = propose(_properties(), wrong, 20)
    left = np.ones(ROWS, np.bool_)
    for each in proposals:
        assert (each.rows & left).sum() >= 20
        left &= ~each.rows
    assert 1 < len(proposals) <= PROPOSALS


def test_the_score_is_the_likelihood_ratio():
    wrong, rows, all_wrong, all_rows = 30, 100, 60, 500
    errors = np.repeat(
        [1, 0, 1, 0], [wrong, rows - wrong, all_wrong - wrong, all_rows - rows - all_wrong + wrong]
    )
    inside = np.repeat(
        [1, 1, 0, 0], [wrong, rows - wrong, all_wrong - wrong, all_rows - rows - all_wrong + wrong]
    )
    apart = np.where(inside, wrong / rows, (all_wrong - wrong) / (all_rows - rows))
    together = np.full(all_rows, all_wrong / all_rows)
    gain = log_loss(errors, together, normalize=False) - log_loss(errors, apart, normalize=False)
    assert likelihood_ratio(wrong, rows, all_wrong, all_rows) == pytest.approx(2 * gain)


def test_a_slice_with_fewer_errors_than_the_rest_has_no_score():
    assert likelihood_ratio(5, 100, 60, 500) == 0


def test_q_values_are_those_of_benjamini_and_hochberg():
    assert q_values(np.array([0.04, 0.01, 0.03])) == pytest.approx([0.04, 0.03, 0.04])


def test_more_rows_find_a_smaller_drop():
    few, many = (
        detectable_points({"proposed_on": rows, "confirmed_on": rows}, 0.1, 0.05, 100) for rows in (400, 5000)
    )
    assert many is not None
    assert few is not None
    assert many < few


def test_where_no_drop_can_be_seen_there_is_no_number():
    assert detectable_points({"proposed_on": 100, "confirmed_on": 100}, 0.6, 0.05, 100) is None


def test_rows_are_halved_by_their_texts():
    ids = [f"{i:032x}" for i in (5, 6, 5)]
    assert halves(ids).tolist() == [False, True, False]
