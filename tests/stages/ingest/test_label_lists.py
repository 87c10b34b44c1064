import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bertline.rows.labels import MULTI_LABEL, SINGLE_LABEL
from bertline.stages.ingest.label_lists import is_list, is_piece_of_list, read_list


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("('late',)", ("late",)),
        ("{'late'}", ("late",)),
        ("set()", ()),
        ("frozenset({'late'})", ("late",)),
        ("[np.str_('late'), np.str_('too late')]", ("late", "too late")),
        ("array(['late', 'price'], dtype=object)", ("late", "price")),
        ("['late' 'price'\n 'damaged']", ("late", "price", "damaged")),
        ("['late' None 'price']", ("late", None, "price")),
        ("['late', nan]", ("late", None)),
        ("[1 2]", ("1", "2")),
        ("[1. 0.]", ("1", "0")),
        ("[True, False]", ("True", "False")),
        ("[late, too late]", ("late", "too late")),
        ("['a, b', c]", ("a, b", "c")),
        ("[don't know, yes]", ("don't know", "yes")),
        ('{late,"too late"}', ("late", "too late")),
        ("[]", ()),
    ],
)
def test_lists_are_read_in_the_notation_of_every_tool(text: str, values: tuple[str | None, ...]) -> None:
    assert is_list(text, MULTI_LABEL)
    assert read_list(text) == values


@given(
    st.sampled_from(
        [str, json.dumps, lambda labels: str(np.array(labels, dtype=object)), lambda v: str(tuple(v))]
    ),
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1),
        min_size=1,
        max_size=4,
    ),
)
@example(str, ["it's", 'a "quote"'])
@example(str, ["a, b", "[c]"])
def test_labels_survive_being_printed_as_a_list(
    printed: Callable[[list[str]], str], labels: list[str]
) -> None:
    text = printed(labels)
    assert is_list(text, SINGLE_LABEL)
    assert read_list(text) == tuple(labels)


@pytest.mark.parametrize("text", ["{'a': 1}", '{"a": 1}', "[['a'], ['b']]", "['a' ... 'b']", "['a' (b)]"])
def test_what_is_no_list_of_labels_is_an_error(text: str) -> None:
    assert is_list(text, MULTI_LABEL)
    with pytest.raises(ValueError, match="not a list of labels"):
        read_list(text)


@pytest.mark.parametrize(
    "name", ["other", "[other]", "{other}", "(other)", "('tis)", "[", "[]]x", "array(x)", "a['b']"]
)
def test_with_one_label_a_row_a_name_in_brackets_is_a_name(name: str) -> None:
    assert not is_list(name, SINGLE_LABEL)


@pytest.mark.parametrize(
    ("text", "piece"), [("['late'", True), (" 'late']", True), ("late", False), ("[x", False)]
)
def test_a_piece_of_a_list_is_known_by_its_bracket_and_quote(text: str, *, piece: bool) -> None:
    assert is_piece_of_list(text) == piece
