import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertline.rows.labels import (
    MULTI_LABEL,
    OUT_OF_SCOPE,
    SINGLE_LABEL,
    LabelSpace,
    class_name,
    in_scope,
    out_of_scope,
)
from bertline.rows.schema import make_rows


@pytest.mark.parametrize(
    ("spellings", "name"),
    [
        (["1", "1.0", "1.00", "1.0e0", " 1.0 "], "1"),
        (["0", "0.0", "-0", "-0.0"], "0"),
        (["-3", "-3.0"], "-3"),
        (["10000001", "10000001.0", "1.0000001E7"], "10000001"),
        (["9007199254740993", "9007199254740993.0"], "9007199254740993"),
        (["1.5", "1.5e0"], "1.5"),
        (["true", "True", "TRUE"], "true"),
        (["false", "False", "FALSE"], "false"),
    ],
)
def test_spellings_of_one_value_are_one_class(spellings: list[str], name: str) -> None:
    assert {class_name(spelling) for spelling in spellings} == {name}


@pytest.mark.parametrize(
    "name", ["01", "1.10", "1e5", "1.0.0", "v1.0", "1.", "+1", "tRue", "nan", "None", ""]
)
def test_a_spelling_that_no_tool_gives_a_number_or_a_boolean_stays(name: str) -> None:
    assert class_name(name) == name


@given(st.one_of(st.integers(), st.floats(allow_nan=False), st.booleans(), st.text()))
def test_the_name_of_a_name_is_the_name(value: object) -> None:
    name = class_name(str(value))
    assert class_name(name) == name


@given(st.integers(min_value=-(2**53), max_value=2**53))
def test_an_integer_and_the_float_of_its_value_are_one_class(value: int) -> None:
    assert class_name(str(float(value))) == class_name(str(value)) == str(value)


ONE = LabelSpace(("ham", "spam"))
SEVERAL = LabelSpace(("ham", "spam"), multi_label=True)
BOTH = "ham\x1fspam"


def test_decoding_undoes_encoding() -> None:
    assert ONE.decode(ONE.encode(["spam", "ham"])) == ["spam", "ham"]
    assert SEVERAL.decode(SEVERAL.encode(["", BOTH, "spam"])) == ["", BOTH, "spam"]


def test_one_class_a_row_is_an_index_and_several_are_a_matrix() -> None:
    assert ONE.encode(["spam", "ham"]).tolist() == [1, 0]
    assert SEVERAL.encode(["", BOTH]).tolist() == [[0, 0], [1, 1]]
    assert (ONE.encode(["ham"]).dtype, SEVERAL.encode(["ham"]).dtype) == (np.int64, np.uint8)


def test_a_matrix_has_a_column_for_each_class_of_single_labels_too() -> None:
    assert ONE.matrix(["spam", "ham"]).tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize("space", [ONE, SEVERAL])
def test_a_label_outside_the_classes_is_an_error(space: LabelSpace) -> None:
    with pytest.raises(KeyError, match="eggs"):
        space.encode(["eggs"])


def test_joining_undoes_splitting() -> None:
    assert SEVERAL.split(BOTH) == ["ham", "spam"]
    assert SEVERAL.join(SEVERAL.split(BOTH)) == BOTH
    assert SEVERAL.split("") == []
    assert ONE.split("ham") == ["ham"]


def test_a_row_counts_for_each_of_its_classes() -> None:
    rows = make_rows(["a", "b", "c", "d"], ["ham", BOTH, "", None])
    assert MULTI_LABEL.count(rows) == {"ham": 2, "spam": 1}
    assert SINGLE_LABEL.count(make_rows(["a", "b"], ["ham", "ham"])) == {"ham": 2}


def test_the_classes_of_labels_are_sorted() -> None:
    assert MULTI_LABEL.with_classes_of(["spam", BOTH, ""]) == SEVERAL
    assert SINGLE_LABEL.with_classes_of(["spam", "ham", "spam"]) == ONE


def test_a_row_is_allowed_where_all_of_its_classes_are() -> None:
    assert SINGLE_LABEL.allows("ham", ["ham", "spam"])
    assert not SINGLE_LABEL.allows("eggs", ["ham", "spam"])
    assert MULTI_LABEL.allows(BOTH, ["ham", "spam"])
    assert not MULTI_LABEL.allows(BOTH, ["ham"])


def test_no_class_is_a_label_only_where_a_row_may_have_several() -> None:
    assert MULTI_LABEL.allows("", ["ham"])
    assert not SINGLE_LABEL.allows("", ["ham"])


def test_a_row_out_of_scope_has_no_class() -> None:
    for space in (SINGLE_LABEL, MULTI_LABEL):
        rows = make_rows(["a", "b", "c"], ["ham", OUT_OF_SCOPE, None])
        assert space.count(rows) == {"ham": 1}
        assert space.allows(OUT_OF_SCOPE, ["ham"])
        assert not space.allows("eggs", ["ham"])


def test_each_row_is_in_scope_or_out_of_it_in_its_order() -> None:
    rows = make_rows(["a", "b", "c", "d", "e"], ["ham", OUT_OF_SCOPE, None, "", OUT_OF_SCOPE])
    assert in_scope(rows)["text"].to_pylist() == ["a", "c", "d"]
    assert out_of_scope(rows)["text"].to_pylist() == ["b", "e"]


def test_a_label_is_named_by_a_person_as_it_is_shown() -> None:
    assert SEVERAL.shown(BOTH) == "ham; spam"
    assert SEVERAL.named("spam;ham ", SEVERAL.classes) == BOTH
    assert SEVERAL.named("", SEVERAL.classes) == ""
    assert ONE.named(ONE.shown("ham"), ONE.classes) == "ham"


@pytest.mark.parametrize(("space", "text"), [(ONE, "ham; spam"), (ONE, ""), (SEVERAL, "ham; eggs")])
def test_a_name_that_is_no_class_is_an_error(space: LabelSpace, text: str) -> None:
    with pytest.raises(ValueError, match="is no class; there are: ham, spam"):
        space.named(text, space.classes)
