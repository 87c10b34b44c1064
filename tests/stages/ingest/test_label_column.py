import pytest

from bertline.rows.labels import OUT_OF_SCOPE
from bertline.stages.ingest.label_column import LabelColumn, Unreadable
from tests.support.ingesting import ingest_params


def labels(**knobs: object) -> LabelColumn:
    return LabelColumn(ingest_params("sample:trec", **knobs))


def test_a_key_of_the_map_stands_for_every_spelling_of_its_value() -> None:
    column = labels(label_map={"1.0": "spam", "True": "yes"})
    assert [column.read(value) for value in ("1", 1, 1.0, "1.00", True, "TRUE")] == ["spam"] * 4 + ["yes"] * 2


def test_keys_that_no_row_has_are_told() -> None:
    column = labels(label_map={"junk": "spam", "0": "ham", "\u200bx": "y"})
    for value in ("junk", "spam"):
        column.read(value)
    assert column.unused_keys() == ["0", "\u200bx"]


def test_a_key_that_a_single_of_several_labels_has_is_used() -> None:
    column = labels(label_map={"b": "c"}, label_separator=";")
    assert column.read("a; b") == "a\x1fc"
    assert column.unused_keys() == []


def test_two_names_for_one_label_are_an_error_that_names_the_keys() -> None:
    with pytest.raises(
        ValueError, match=r"^ingest\.label_map has two names for one label: keep one of '1', '1\.0'$"
    ):
        labels(label_map={"1": "spam", "1.0": "ham"})
    labels(label_map={"1": "spam", "1.0": "spam"})


@pytest.mark.parametrize("value", [None, "", " ", ";", ["", None], [float("nan")]])
def test_with_several_labels_a_row_a_blank_one_is_missing(value: object) -> None:
    assert labels(label_separator=";").read(value) is None


@pytest.mark.parametrize("value", [[], "[]", "set()"])
def test_with_several_labels_a_row_an_empty_list_says_that_none_applies(value: object) -> None:
    assert labels(label_separator=";").read(value) == ""


@pytest.mark.parametrize("separator", [None, ";"])
def test_a_row_may_be_out_of_scope_by_its_label_or_by_the_map(separator: str | None) -> None:
    column = labels(label_map={"other": OUT_OF_SCOPE}, label_separator=separator)
    assert [column.read(value) for value in (f" {OUT_OF_SCOPE} ", "other")] == [OUT_OF_SCOPE] * 2


@pytest.mark.parametrize("value", ["x; other", ["x", "other"], '["other", "x"]'])
def test_a_row_out_of_scope_that_has_a_class_too_is_a_fault(value: object) -> None:
    read = labels(label_map={"other": OUT_OF_SCOPE}, label_separator=";").read(value)
    assert isinstance(read, Unreadable)
    assert read.value == f"{OUT_OF_SCOPE}, x"
    assert "stands alone" in read.reason


def test_a_list_needs_a_separator() -> None:
    read = labels().read("['x']")
    assert isinstance(read, Unreadable)
    assert "set ingest.label_separator" in read.reason
