from typing import Any

import pytest

from bertline.comparison.conclusion import clearest, conclude, lines_of

CHANGE = {"a": 0.9, "b": 0.88, "difference": -0.02, "difference_low": -0.05, "difference_high": 0.01}


def difference(name: str, verdict: str, p_value: float = 0.001) -> dict[str, Any]:
    found = {"kind": "slice", "group": "source", "name": name, "measure": "accuracy", "rows": 40}
    return {**found, **CHANGE, "verdict": verdict, "p_value": p_value, "q_value": p_value}


def document(*differences: dict[str, Any], p_value: float = 0.2) -> dict[str, Any]:
    return {
        "rows": 500,
        "confidence": 0.95,
        "p_value": p_value,
        "broken": {"rows": 20},
        "fixed": {"rows": 10},
        "overall": {"accuracy": CHANGE, "macro_f1": CHANGE},
        "differences": [*differences],
    }


@pytest.mark.parametrize(("p_value", "says"), [(0.2, "may be chance"), (0.01, "is more than chance")])
def test_the_first_sentence_says_what_broke_and_whether_it_may_be_chance(p_value: float, says: str) -> None:
    first, _ = conclude(document(p_value=p_value), "v1.0.0", "The candidate")
    assert first == (
        "The candidate breaks 20 rows that v1.0.0 answers right and repairs 10 others: its accuracy on the "
        f"500 test rows changes by -2.0 (-5.0 to +1.0) points, which {says}."
    )


def test_the_second_sentence_names_the_clearest_of_what_is_worse_and_better() -> None:
    worse = [difference(f"w{i}", "worse", 0.001 * i) for i in (4, 3, 2, 1)]
    found = document(*worse, difference("b", "better"), difference("n", "not shown"))
    assert conclude(found, "A", "B")[1] == (
        "It is worse in source: w1, source: w2, source: w3 and 1 more, and better in source: b; "
        "the other 1 difference may be chance."
    )
    nothing = conclude(document(difference("n", "not shown")), "A", "B")[1]
    assert nothing == "None of the 1 difference by class, slice and behavioural test can be told from chance."


def test_where_every_difference_is_shown_no_other_is_mentioned() -> None:
    assert conclude(document(difference("w", "worse")), "A", "B")[1] == "It is worse in source: w."


def test_the_numbers_stand_under_names_of_any_length() -> None:
    found = document(difference("w", "worse")) | {"conclusion": [], "cautions": []}
    lines = lines_of({**found, "a": {"name": "candidate"}, "b": {"name": "some/folder/models/candidate"}})
    assert [line.index(" " * 2 + each) for line, each in zip(lines[1:3], ("diff", "-2.0"), strict=True)] == [
        len(lines[1]) - len("  difference in points")
    ] * 2
    assert " some/folder/models/candidate" in lines[1]


def test_the_worse_differences_come_first_and_chance_not_at_all() -> None:
    found = [difference("b", "better", 0.0001), difference("n", "not shown"), difference("w", "worse")]
    assert [each["name"] for each in clearest(found)[0]] == ["w", "b"]


def test_the_differences_that_are_not_listed_are_counted() -> None:
    many = [difference(f"w{i}", "worse") for i in range(12)]
    found = document(*many) | {"conclusion": [], "cautions": [], "a": {"name": "a"}, "b": {"name": "b"}}
    assert lines_of(found)[-1] == "... and 2 more differences on the page"
    assert "more" not in lines_of(found | {"differences": many[:10]})[-1]


def test_the_lines_have_the_conclusion_the_cautions_and_the_scores() -> None:
    found = document(difference("w", "worse"))
    sides = {"a": {"name": "v1.0.0"}, "b": {"name": "candidate"}}
    lines = lines_of({**found, **sides, "conclusion": ["One.", "Two."], "cautions": ["Not fair."]})
    assert lines[:3] == ["One.", "Two.", "careful: Not fair."]
    assert lines[5].split() == ["accuracy", "90.0", "88.0", "-2.0", "(-5.0", "to", "+1.0)"]
    assert lines[-1].endswith("source: w")
