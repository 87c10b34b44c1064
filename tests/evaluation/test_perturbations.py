import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertline.evaluation.perturbations import PERTURBATIONS, Perturbation
from bertline.evaluation.word_lists import CITIES, FEMALE_NAMES
from tests.support.tiny import PROJECT

BY_NAME = {each.name: each for each in PERTURBATIONS}
ANY = pytest.mark.parametrize("perturbation", PERTURBATIONS, ids=lambda each: each.name)
EXAMPLES = re.findall(
    r"^\| `([a-z ]+)` \| [^|]+ \| `([^`|]+)` \| `([^`|]+)` \|$",
    (PROJECT / "docs/evaluation.md").read_text(encoding="utf-8"),
    re.MULTILINE,
)
CHINESE = "秘鲁的首都是哪里"


def test_the_document_has_an_example_of_every_generic_test() -> None:
    assert [name for name, _, _ in EXAMPLES] == [each.name for each in PERTURBATIONS]


@pytest.mark.parametrize(("name", "before", "after"), EXAMPLES)
def test_the_example_of_the_document_is_what_comes_out(name: str, before: str, after: str) -> None:
    assert repr(BY_NAME[name].apply(before, 1))[1:-1] == after


@ANY
@given(text=st.text(max_size=60), seed=st.integers(0, 99))
def test_any_text_can_be_changed_and_stays_about_as_long(
    perturbation: Perturbation, text: str, seed: int
) -> None:
    assert len(perturbation.apply(text, seed)) <= 3 * len(text) + 25


@ANY
def test_the_same_text_and_seed_give_the_same_change(perturbation: Perturbation) -> None:
    text = "Don't ask Anna how far it is from Paris to Rome: 1400 km, she's sure"
    changes = {perturbation.apply(text, 5) for _ in range(3)}
    assert len(changes) == 1
    assert changes != {text}


@pytest.mark.parametrize("name", ["typos", "numbers", "names", "repeated letters"])
def test_another_seed_gives_another_change(name: str) -> None:
    text = "Anna lives in Paris since 1998, in a beautiful apartment"
    assert len({BY_NAME[name].apply(text, seed) for seed in range(20)}) > 1


@given(
    st.from_regex(r"([A-Za-z]{0,9} )?([2-9]|[0-9]{2,9})( [A-Za-z]{0,9})?", fullmatch=True), st.integers(0, 9)
)
def test_a_changed_number_has_as_many_digits_and_is_another_one(text: str, seed: int) -> None:
    [before], [after] = (re.findall(r"\d+", each) for each in (text, BY_NAME["numbers"].apply(text, seed)))
    assert before != after
    assert len(before) == len(after)
    assert (before[0] == "0") or after[0] != "0"


@given(st.integers(10, 31), st.integers(1000, 2099), st.integers(0, 9))
def test_what_may_be_a_day_or_a_year_stays_one(day: int, year: int, seed: int) -> None:
    _, new_day, new_year = BY_NAME["numbers"].apply(f"May {day} {year}", seed).split()
    assert 10 <= int(new_day) <= 28
    assert new_year[:2] == str(year)[:2]


@given(st.sampled_from(["0 days", "1 day", "B2B", "mp3", "2nd"]), st.integers(0, 9))
def test_a_number_that_the_words_around_it_need_is_not_changed(text: str, seed: int) -> None:
    assert BY_NAME["numbers"].apply(text, seed) == text


@given(st.integers(0, 30))
def test_a_name_becomes_the_same_other_one_wherever_it_stands(seed: int) -> None:
    changed = BY_NAME["names"].apply("Is Anna in New York? Mary saw Anna there", seed)
    [(first, city, second, third)] = re.findall(r"Is (\w+) in ([\w ]+)\? (\w+) saw (\w+) there", changed)
    assert first == third
    assert len({first, second, "Anna", "Mary"}) == 4
    assert {first, second} <= set(FEMALE_NAMES)
    assert city in set(CITIES) - {"New York"}


@pytest.mark.parametrize("text", ["?", " !!! ", "…", ""])
@ANY
def test_a_change_leaves_some_text(perturbation: Perturbation, text: str) -> None:
    assert perturbation.apply(text, 1).strip() or not text.strip()


@given(st.from_regex(r"[a-z ]{0,40}", fullmatch=True), st.integers(0, 9))
def test_a_typo_keeps_the_letters(text: str, seed: int) -> None:
    assert sorted(BY_NAME["typos"].apply(text, seed)) == sorted(text)


@pytest.mark.parametrize("name", ["upper case", "lower case", "numbers", "names", "contractions"])
def test_what_a_text_does_not_have_is_not_changed(name: str) -> None:
    assert BY_NAME[name].apply(CHINESE, 1) == CHINESE


def test_changes_of_letters_and_english_words_do_not_fit_chinese() -> None:
    unfit = {each.name for each in PERTURBATIONS if not each.fits(CHINESE)}
    english = {"contractions", "names", "signature", "prefix", "suffix"}
    assert unfit == {"typos", "repeated letters", "accents"} | english


def test_nothing_is_contracted_at_the_end_of_a_clause() -> None:
    assert BY_NAME["contractions"].apply("Tell me what it is, please", 1) == "Tell me what it is, please"


def test_contractions_come_back() -> None:
    contract = BY_NAME["contractions"]
    assert (
        contract.apply(contract.apply("What's there? I don't know.", 1), 1) == "What's there? I don't know."
    )
