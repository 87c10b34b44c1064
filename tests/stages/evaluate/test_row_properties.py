import numpy as np
import pytest

from bertline.evaluation.slices import Slice
from bertline.stages.evaluate.row_properties import conditions, describe_rows


def _describe(texts: list[str], *slices: Slice) -> dict[str, list[int]]:
    found = conditions(texts, slices, np.ones(len(texts), np.bool_), 1)
    return {name: np.flatnonzero(meets).tolist() for name, meets in found}


@pytest.mark.parametrize(
    ("condition", "texts", "places"),
    [
        ("has the word 'cat'", ["a Cat!", "dogs", "scatter"], [0]),
        ("has a digit", ["no", "room 5", "none"], [1]),
        ("has no question mark", ["why?", "so", "为什么\uff1f"], [1]),
        ("has a web address", ["see www.x.org", "see x", "HTTPS://x y"], [0, 2]),
        ("has an e-mail address", ["a@b.org is", "a @ b", "a"], [0]),
        ("has a run of capitals", ["FREE now", "Free", "free"], [0]),
        ("has a repeated character", ["sooo", "soo", "so"], [0]),
        ("has a character that is not ASCII", ["café", "cafe", "tea"], [0]),
        ("at most 2 characters", ["ab", "abc", "abcd"], [0]),
        ("more than 2 words", ["a", "a b", "a b c"], [2]),
    ],
)
def test_a_condition_holds_the_rows_that_it_says(condition: str, texts: list[str], places: list[int]):
    assert _describe(texts)[condition] == places


def test_slices_are_conditions_but_for_the_label_and_the_length():
    texts = ["some text", "some text", "some text"]
    slices = [
        Slice(group=group, name="x", rows=np.array([place]))
        for place, group in enumerate(["class", "column tier", "length"])
    ]
    described = _describe(texts, *slices)
    assert [name for name in described if name.endswith(" is x")] == ["column tier is x"]
    assert described["column tier is x"] == [1]


def test_of_conditions_with_the_same_rows_one_is_kept():
    texts = ["alpha beta 1", "alpha beta 22", "gamma", "gamma"]
    rows = [tuple(meets) for _, meets in describe_rows(texts, [], np.ones(4, np.bool_), 1)]
    assert len(rows) == len(set(rows))


def test_a_condition_must_hold_for_enough_rows_of_the_proposing_half():
    texts = ["cat", "cat", "dog", "dog", "cat", "cat"]
    proposing = np.array([True, False, True, True, False, False])
    found = describe_rows(texts, [], proposing, 2)
    assert "has the word 'cat'" not in dict(found)
