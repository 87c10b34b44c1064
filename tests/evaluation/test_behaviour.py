from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertline.evaluation.behaviour import NO_ROW, CaseAnswers, answer_cases, build_cases, failed_cases
from bertline.evaluation.behaviour_file import BehaviourFile, UserTest, read_behaviour
from bertline.evaluation.behaviour_summary import summarize_behaviour
from bertline.evaluation.perturbations import PERTURBATIONS
from bertline.rows.labels import LabelSpace
from bertline.rows.schema import make_rows
from bertline.rows.text_key import add_ids

SPACE = LabelSpace(("HUM", "LOC"))
GENERIC = [each.name for each in PERTURBATIONS]
TEXTS = ["Who is Anna?", "Where is Lima", "where does Paul's brother live", "Who wrote it in 1984?"]


class AsksWho:
    """Answers HUM with .9 where the text has "who" as it is written here, else LOC with .8."""

    def __init__(self, space: LabelSpace = SPACE) -> None:
        self.space = space
        self.asked: list[str] = []

    def probabilities(self, texts: list[str]) -> np.ndarray:
        self.asked += texts
        return np.array([[0.9, 0.1] if "Who" in str(text) else [0.2, 0.8] for text in texts], np.float32)


def rows(texts: list[str] = TEXTS, pairs: list[str] | None = None) -> pa.Table:
    return add_ids(make_rows(texts, "HUM", text_pair=pairs))


def written(tmp_path: Path, text: str) -> BehaviourFile:
    path = tmp_path / "behaviour.yaml"
    path.write_text(text, encoding="utf-8")
    return read_behaviour(path, SPACE)


def only_own(file: BehaviourFile) -> BehaviourFile:
    """Return the same file without the generic tests."""
    return BehaviourFile(frozenset(GENERIC), file.tests, file.bounds)


def find(document: dict, name: str) -> dict:
    return next(each for each in document["tests"] if each["name"] == name)


def summary(file: BehaviourFile, table: pa.Table) -> dict:
    behaviour = build_cases(table, file, seed=1)
    return summarize_behaviour(behaviour, answer_cases(AsksWho(), behaviour), confidence=0.95)


def test_a_model_that_reads_capitals_fails_when_they_change() -> None:
    document = summary(BehaviourFile(), rows())
    upper, punctuation = find(document, "upper case"), find(document, "punctuation")
    assert (upper["cases"], upper["failures"]) == (4, 2)
    assert upper["failure_rate"] == 0.5
    assert upper["failure_rate_low"] < 0.5 < upper["failure_rate_high"]
    assert punctuation["failures"] == 0
    [example] = [each for each in upper["examples"] if each["before"] == "Who is Anna?"]
    assert (example["prediction_before"], example["prediction_after"]) == ("HUM", "LOC")
    assert example["after"] == "WHO IS ANNA?"


def test_unchanged_texts_are_no_cases_and_no_text_is_asked_twice() -> None:
    model = AsksWho()
    behaviour = build_cases(rows(["Who is it?", "who is it?"]), BehaviourFile(), seed=1)
    answer_cases(model, behaviour)
    names = behaviour.cases["test"].to_pylist()
    assert names.count("lower case") == 1
    assert "numbers" not in names
    assert behaviour.skipped["numbers"] == "it changes none of the texts"
    assert len(model.asked) == len(set(model.asked))


def test_a_test_that_fits_no_script_says_so() -> None:
    behaviour = build_cases(rows(["秘鲁的首都是哪里"]), BehaviourFile(), seed=1)
    assert behaviour.skipped["signature"] == "no text is mostly in Latin letters"
    skipped = find(summary(BehaviourFile(), rows(["秘鲁的首都是哪里"])), "signature")
    assert skipped["skipped"] is not None
    assert skipped["failure_rate"] is None


@given(st.permutations(range(len(TEXTS))), st.integers(1, len(TEXTS)))
def test_a_case_does_not_depend_on_the_other_rows(order: list[int], n: int) -> None:
    def cases(table: pa.Table) -> set[tuple[str, str, str]]:
        found = build_cases(table, BehaviourFile(), seed=1).cases
        return set(zip(*(found[name].to_pylist() for name in ("test", "id", "text")), strict=True))

    everything, part = rows(), rows([TEXTS[i] for i in order[:n]])
    ids = set(part["id"].to_pylist())
    assert cases(part) == {case for case in cases(everything) if case[1] in ids}


def test_a_pair_keeps_its_second_text() -> None:
    behaviour = build_cases(rows(["Who?"], ["It was Anna"]), BehaviourFile(), seed=1)
    assert all(second == "It was Anna" for _, second in behaviour.texts())


def test_a_change_that_both_texts_of_a_pair_would_need_is_skipped() -> None:
    table = rows(["Who saw Anna in 1984?"], ["Anna was seen in 1984"])
    skipped = build_cases(table, BehaviourFile(), seed=1).skipped
    assert {"names", "numbers"} <= {name for name, reason in skipped.items() if "both texts" in reason}


def test_several_labels_fail_when_the_set_changes() -> None:
    space = LabelSpace(("HUM", "LOC"), multi_label=True)
    only_typos = BehaviourFile(frozenset(GENERIC[1:]))
    behaviour = build_cases(rows(["Who is there", "Where is it"]), only_typos, seed=1)
    assert behaviour.cases["test"].to_pylist() == ["typos", "typos"]
    before = np.array([[0.9, 0.9], [0.9, 0.1]], np.float32)
    after = np.array([[0.9, 0.1], [0.8, 0.2]], np.float32)
    assert failed_cases(behaviour, CaseAnswers(space, before, after)).tolist() == [True, False]


def test_an_example_of_a_row_with_several_labels_shows_them_as_people_read_them() -> None:
    space = LabelSpace(("HUM", "LOC"), multi_label=True)
    behaviour = build_cases(rows(["Who is there"]), BehaviourFile(frozenset(GENERIC[1:])), seed=1)
    answers = CaseAnswers(space, np.array([[0.9, 0.9]], np.float32), np.array([[0.2, 0.1]], np.float32))
    [example] = find(summarize_behaviour(behaviour, answers, 0.95), "typos")["examples"]
    assert (example["prediction_before"], example["prediction_after"]) == ("HUM; LOC", "")


def test_an_example_of_a_long_text_quotes_what_is_around_the_change() -> None:
    long = "who knows it " * 300
    document = summary(
        BehaviourFile(tests=(UserTest(name="a", kind="invariance", append="Who"),)), rows([long])
    )
    [example] = find(document, "a")["examples"]
    assert example["after"] == f"…{long[-60:]}Who"
    assert example["before"] == f"…{long[-60:]}"


def test_the_most_probable_failures_are_the_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bertline.evaluation.behaviour_summary.EXAMPLES", 2)
    table = rows(["Who is there", "Who was there", "Who will be there"])
    behaviour = build_cases(table, BehaviourFile(frozenset(GENERIC[1:])), seed=1)
    after = np.array([[0.3, 0.7], [0.1, 0.9], [0.2, 0.8]], np.float32)
    answers = CaseAnswers(SPACE, np.array([[0.9, 0.1]] * 3, np.float32), after)
    examples = find(summarize_behaviour(behaviour, answers, 0.95), "typos")["examples"]
    assert [each["before"] for each in examples] == ["Who was there", "Who will be there"]


def test_a_minimum_functionality_test_fills_its_slots(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        "tests: [{name: places, kind: minimum_functionality, label: LOC, texts: ['Is {city} far?', 'Who?'],"
        " slots: {city: [Lima, Oslo]}}]",
    )
    behaviour = build_cases(rows(), file, seed=1)
    own = behaviour.cases.filter(pa.array([each == "places" for each in behaviour.cases["test"].to_pylist()]))
    assert own["text"].to_pylist() == ["Is Lima far?", "Is Oslo far?", "Who?"]
    assert own["row"].to_pylist() == [NO_ROW] * 3
    places = find(summary(file, rows()), "places")
    assert (places["cases"], places["failures"]) == (3, 1)
    assert places["examples"][0]["after"] == "Who?"


@pytest.mark.parametrize(
    ("must_not", "by", "failures"), [("fall", 0.5, 2), ("fall", 0.75, 0), ("rise", 0.1, 0)]
)
def test_a_directional_test_watches_a_probability(
    must_not: str, by: float, failures: int, tmp_path: Path
) -> None:
    change = f"replace: {{Who: Which person}}, label: HUM, must_not: {must_not}, by: {by}"
    document = summary(written(tmp_path, f"tests: [{{name: d, kind: directional, {change}}}]"), rows())
    assert (find(document, "d")["cases"], find(document, "d")["failures"]) == (2, failures)


@pytest.mark.parametrize(
    ("replace", "changed"),
    [
        ("{is: was}", ["Who was this?"]),  # a whole word
        ("{'is|this': [is, this]}", ["Who this is?"]),  # a pattern, and never what stands there
        ("{Where: Here}", []),
        ("{'Who is this.': ''}", []),  # nothing would remain
    ],
)
def test_replaced_words_are_whole_words(replace: str, changed: list[str], tmp_path: Path) -> None:
    file = written(tmp_path, f"tests: [{{name: r, kind: invariance, replace: {replace}}}]")
    behaviour = build_cases(rows(["Who is this?"]), only_own(file), seed=1)
    assert behaviour.cases["text"].to_pylist() == changed


def test_a_bound_is_exceeded_where_the_whole_interval_lies_above_it() -> None:
    def above(bound: float) -> bool:
        file = BehaviourFile(bounds={"upper case": bound})
        return find(summary(file, rows()), "upper case")["above_max"]

    low = find(summary(BehaviourFile(), rows()), "upper case")["failure_rate_low"]
    assert (above(low - 0.01), above(low + 0.01)) == (True, False)
    assert find(summary(BehaviourFile(), rows()), "upper case")["above_max"] is None


def test_a_label_may_look_like_a_number(tmp_path: Path) -> None:
    (tmp_path / "behaviour.yaml").write_text(
        "tests: [{name: a, kind: minimum_functionality, texts: [x], label: 1}]", encoding="utf-8"
    )
    [test] = read_behaviour(tmp_path / "behaviour.yaml", LabelSpace(("0", "1"))).tests
    assert test.labels == ("1",)


PAIRED = """
tests:
- {name: a, kind: minimum_functionality, label: HUM, texts: [['Who is {x}?', 'It is {x}']], slots: {x: [Ann]}}
"""


def test_a_text_of_a_pair_model_is_a_pair(tmp_path: Path) -> None:
    behaviour = build_cases(rows(["Who?"], ["It was Anna"]), written(tmp_path, PAIRED), seed=1)
    assert behaviour.texts()[-1] == ("Who is Ann?", "It is Ann")


def test_a_pair_where_rows_are_single_texts_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'a': .* the rows are single texts"):
        build_cases(rows(), written(tmp_path, PAIRED), seed=1)


def test_an_own_invariance_test_and_generic_ones_left_out(tmp_path: Path) -> None:
    file = written(tmp_path, "off: [typos]\ntests: [{name: number, kind: invariance, append: ' (1)'}]")
    names = [each["name"] for each in summary(file, rows())["tests"]]
    assert names == [*(name for name in GENERIC if name != "typos"), "number"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("off: [typo]", "off names 'typo'"),
        ("offf: []", "unknown key 'offf'"),
        ("bounds: {typo: 0.1}", "bounds names 'typo'"),
        ("bounds: {typos: 10}", "bound of 'typos' is 10"),
        ("tests: [{name: a, kind: invariance, replace: {'(': x}}]", "no regular expression"),
        ("tests: [{name: a, kind: invariance, replace: {'x*': y}}]", "pattern that finds some text"),
        ("tests: [{name: a, kind: invariance, replace: {'(?i)x': y}}]", r"has a flag .* write \(\?i:word\)"),
        ("tests: [{name: a, kind: invariance, replace: {x: []}}]", r"'x' becomes \[\]"),
        ("[", "not valid YAML"),
        ("tests: [{kind: invariance}]", "test 1 is"),
        ("tests: [{name: a, kind: mft}]", "kind is 'mft'"),
        ("tests: [{name: a, kind: invariance}]", "no change"),
        ("tests: [{name: a, kind: invariance, append: ''}]", "append is ''"),
        ("tests: [{name: a, kind: invariance, replace: {}}]", "replace is {}"),
        ("tests: [{name: a, kind: invariance, label: HUM, append: x}]", "unknown key 'label'"),
        ("tests: [{name: a, kind: minimum_functionality, texts: [x], label: NUM}]", "'NUM' is no class"),
        ("tests: [{name: a, kind: minimum_functionality, texts: [], label: HUM}]", "texts is empty"),
        ("tests: [{name: a, kind: minimum_functionality, texts: [x]}]", "give either label"),
        (
            "tests: [{name: a, kind: minimum_functionality, texts: ['{x}'], label: HUM, slots: {}}]",
            "slot 'x'",
        ),
        (
            "tests: [{name: a, kind: minimum_functionality, texts: [b], label: HUM, slots: {x: [c]}}]",
            "no text has the slot 'x'; write it as {x}",
        ),
        ("tests: [{name: a, kind: minimum_functionality, texts: ['{'], label: HUM, slots: {}}]", "brace"),
        ("tests: [{name: a, kind: directional, append: x, label: HUM, must_not: rise, by: 2}]", "by is 2"),
        ("tests: [{name: a, kind: directional, append: x, label: HUM, must_not: no, by: 0}]", "must_not is"),
        ("tests: [{name: a, kind: directional, append: x, label: HUM, by: 0}]", "must_not is missing"),
        ("tests: [{name: typos, kind: invariance, append: x}]", "two tests named 'typos'"),
    ],
)
def test_a_wrong_file_is_one_clear_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message) as error:
        written(tmp_path, text)
    assert "\n" not in str(error.value)
    assert "behaviour.yaml" in str(error.value)


def test_a_pattern_may_have_a_flag_for_a_part_of_it(tmp_path: Path) -> None:
    file = written(tmp_path, "tests: [{name: a, kind: invariance, replace: {'(?i:who)': Which man}}]")
    behaviour = build_cases(rows(["WHO wrote?"]), file, seed=1)
    assert behaviour.texts()[-1] == "Which man wrote?"


def test_too_many_texts_of_slots_are_refused(tmp_path: Path) -> None:
    words = ", ".join(f"w{i}" for i in range(40))
    slots = f"texts: ['{{a}} {{b}}'], label: HUM, slots: {{a: [{words}], b: [{words}]}}"
    with pytest.raises(ValueError, match="more than 1,000 texts"):
        written(tmp_path, f"tests: [{{name: a, kind: minimum_functionality, {slots}}}]")


def test_a_missing_file_says_what_is_enough(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not here"):
        read_behaviour(tmp_path / "behaviour.yaml", SPACE)


def test_the_commented_tests_of_the_shipped_file_are_right(tmp_path: Path) -> None:
    shipped = Path(__file__).parents[1] / "support/shipped/behaviour.yaml"
    lines = shipped.read_text(encoding="utf-8").splitlines()
    start = lines.index("# tests:")
    end = lines.index("off: []")
    (tmp_path / "behaviour.yaml").write_text(
        "\n".join(line[2:] for line in lines[start:end]), encoding="utf-8"
    )
    found = read_behaviour(tmp_path / "behaviour.yaml", LabelSpace(("LOC", "NUM")))
    assert [each.kind for each in found.tests] == [
        *("minimum_functionality", "invariance", "invariance", "directional")
    ]
