from typing import Any

import numpy as np
import pytest

from bertline.stages.evaluate.row_properties import Property
from bertline.stages.evaluate.shortcuts import (
    COMPARED,
    PROPOSING,
    TEST,
    Shares,
    find_shortcuts,
)

CLASSES = ("a", "b")
Found = dict[str, Any]


def planted(
    train: float, test: float, *, name: str = "has the word 'zx'", rows: int = 200, base: float = 0.5
) -> tuple[list[Property], np.ndarray, np.ndarray]:
    """Three parts of `rows` rows; a fifth of each has the property, and this share of them the class a."""
    meets = np.tile(np.arange(rows) < rows // 5, 3)
    labels = np.tile(np.arange(rows) % 10 < 10 * base, 3)
    for part, share in enumerate((train, train, test)):
        here = slice(part * rows, part * rows + rows // 5)
        labels[here] = np.arange(rows // 5) < share * (rows // 5)
    return [(name, meets)], np.stack([labels, ~labels], axis=1), np.repeat([PROPOSING, COMPARED, TEST], rows)


def find(properties: list[Property], labels: np.ndarray, parts: np.ndarray) -> Found:
    found: Found = find_shortcuts(properties, labels, parts, labels[parts == TEST], CLASSES, 0.95)
    return found


def test_a_property_that_predicts_a_label_in_train_only_is_reported_with_both_shares() -> None:
    [found] = find(*planted(0.95, 0.5))["shortcuts"]
    assert (found["property"], found["label"], found["rows"]) == ("has the word 'zx'", "a", 40)
    assert (found["train"], found["test"], found["train_all"]) == (0.95, 0.5, 0.59)


def test_what_is_not_listed_is_counted() -> None:
    [(_, meets)], labels, parts = planted(0.95, 0.5)
    found = find([(f"has the word '{i}'", meets) for i in range(30)], labels, parts)
    assert (len(found["shortcuts"]), found["shortcuts_found"]) == (20, 30)
    [(_, meets)], labels, parts = planted(1, 1, rows=1000)
    found = find([(f"sign {i}", meets) for i in range(30)], labels, parts)
    assert (len(found["near_perfect"]), found["near_perfect_found"]) == (20, 30)


@pytest.mark.parametrize(("train", "test"), [(0.95, 0.95), (0.5, 0.5), (0.5, 0.95), (0.95, 0.85)])
def test_a_property_that_is_as_strong_in_test_or_weak_in_train_is_not(train: float, test: float) -> None:
    assert find(*planted(train, test))["shortcuts"] == []


def test_a_label_that_became_rarer_is_no_shortcut_by_itself() -> None:
    properties, labels, parts = planted(0.9, 0.65, rows=2000)
    rare = (parts == TEST) & ~properties[0][1] & (np.arange(len(parts)) % 10 > 0)
    labels[rare] = [False, True]
    assert find(properties, labels, parts)["shortcuts"] == []


def test_a_property_that_few_test_rows_have_is_not_judged() -> None:
    properties, labels, parts = planted(0.95, 0.0)
    meets = properties[0][1] & ~((parts == TEST) & (np.arange(len(parts)) > 2 * 200 + 3))
    found = find([("has the word 'zx'", meets)], labels, parts)
    assert found["shortcuts_judged"] == 0
    assert found["shortcuts"] == []


def test_a_sign_that_decides_the_label_everywhere_is_named_apart_and_a_word_is_not() -> None:
    [found] = find(*planted(1, 1, name="has a digit", rows=1000))["near_perfect"]
    assert (found["property"], found["label"], found["test"]) == ("has a digit", "a", 1)
    assert find(*planted(1, 1, rows=1000))["near_perfect"] == []


def test_a_sign_is_not_near_perfect_where_nearly_all_rows_have_the_label() -> None:
    assert find(*planted(1, 1, name="has a digit", rows=1000, base=1))["near_perfect"] == []


def test_what_the_candidate_predicts_shows_whether_it_took_the_shortcut() -> None:
    properties, labels, parts = planted(0.95, 0.5)
    taken = np.tile([True, False], (200, 1))
    [found] = find_shortcuts(properties, labels, parts, taken, CLASSES, 0.95)["shortcuts"]
    assert found["predicted"] == 1


def test_without_properties_nothing_is_found() -> None:
    _, labels, parts = planted(0.95, 0.5)
    counts = dict.fromkeys(("shortcuts_judged", "shortcuts_found", "near_perfect_found"), 0)
    assert find([], labels, parts) == {"shortcuts": [], "near_perfect": []} | counts


def test_the_lower_end_is_that_of_wilsons_interval() -> None:
    from scipy.stats import binomtest

    shares = Shares(np.ones((40, 1), bool), np.arange(40)[:, None] < 31)
    expected = binomtest(31, 40).proportion_ci(0.95, method="wilson").low
    assert shares.lowest(0.95)[0, 0] == pytest.approx(expected)
