from pathlib import Path

import pytest

from bertline.stages.validate.quarantine.reviews import UNUSABLE, Review, read_reviews, record
from tests.support.params import SHIPPED

HEADER = "id,decision,rule,reviewer,note\n"
FIRST, SECOND = "0" * 32, "f" * 32


def review(row: str, decision: str = "release", note: str = "") -> Review:
    return Review(id=row, decision=decision, rule="text_length", reviewer="Ann", note=note)


def write(folder: Path, text: str) -> Path:
    path = folder / "reviews.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_file_of_a_new_project_holds_no_review() -> None:
    assert read_reviews(SHIPPED / "data/reviews.csv") == {}


def test_what_was_recorded_is_read_back(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER)
    reviews = {row: review(row, note='a "note", with a comma, é') for row in (FIRST, SECOND)}
    record(path, reviews.values())
    assert read_reviews(path) == reviews


def test_lines_are_sorted_by_id_so_that_diffs_are_small(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER)
    record(path, [review(SECOND)])
    record(path, [review(FIRST, "drop")])
    assert path.read_text() == (f"{HEADER}{FIRST},drop,text_length,Ann,\n{SECOND},release,text_length,Ann,\n")


def test_a_change_of_mind_replaces_the_earlier_line(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER)
    record(path, [review(FIRST)])
    record(path, [review(FIRST, "drop", "on second thought")])
    assert read_reviews(path) == {FIRST: review(FIRST, "drop", "on second thought")}


def test_a_note_of_several_lines_becomes_one(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER)
    record(path, [review(FIRST, note="one\r\ntwo")])
    assert path.read_text().splitlines()[1:] == [f"{FIRST},release,text_length,Ann,one two"]


def test_a_file_saved_by_a_spreadsheet_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, "\ufeff" + HEADER.strip() + f"\r\n{FIRST},drop,text_length,Ann,\r\n\r\n")
    assert read_reviews(path) == {FIRST: review(FIRST, "drop")}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "has columns (none); expected id, decision, rule, reviewer, note"),
        ("id,decision\n", "has columns id, decision; expected id, decision, rule, reviewer, note"),
        (f"{HEADER}{FIRST},relase,r,Ann,\n", "line 2: decision is 'relase'; allowed: release, drop"),
        (f"{HEADER}12,drop,r,Ann,\n", "line 2: id is '12'; expected the 32 hex digits of a row's id"),
        (f"{HEADER}{FIRST},drop,,Ann,\n", "line 2: rule is empty"),
        (f"{HEADER}{FIRST},drop,r,Ann\n", "line 2: 4 values, expected 5"),
        (
            f"{HEADER}{FIRST},drop,r,Ann,a, b\n",
            "line 2: 6 values, expected 5; a note with a comma needs quotes",
        ),
        (
            f"{HEADER}{FIRST},drop,r,Ann,\n{FIRST},release,r,Ann,\n",
            f"line 3: row {FIRST} has a line above",
        ),
        (f'{HEADER}{FIRST},drop,r,Ann,"open\n', "is not a CSV file in UTF-8"),
    ],
)
def test_a_broken_file_is_one_clear_error(tmp_path: Path, content: str, message: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the message is compared below
        read_reviews(path)
    assert str(error.value).startswith(str(path))
    assert message in str(error.value)


@pytest.mark.parametrize("rule", [*sorted(UNUSABLE), "label_conflict text_not_blank"])
def test_a_row_without_text_or_label_cannot_be_released_but_dropped(rule: str) -> None:
    given = {"id": FIRST, "rule": rule, "reviewer": "Ann", "note": ""}
    assert Review(decision="drop", **given).rules == set(rule.split())
    with pytest.raises(
        ValueError, match="without text or label cannot be released; correct it at its source"
    ):
        Review(decision="release", **given)


def test_a_missing_file_says_how_to_get_it_back(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not here; restore it with: git checkout"):
        read_reviews(tmp_path / "reviews.csv")


def test_nothing_is_written_over_a_broken_file(tmp_path: Path) -> None:
    path = write(tmp_path, "broken")
    with pytest.raises(ValueError, match="has columns broken"):
        record(path, [review(FIRST)])
    assert path.read_text() == "broken"
    assert [each.name for each in tmp_path.iterdir()] == ["reviews.csv"]
