from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bertline.rows.duplicates import contradicting, drop_duplicates
from bertline.rows.io import write_rows
from bertline.rows.labels import MULTI_LABEL
from bertline.rows.schema import CHUNK, ROW_SCHEMA, make_rows
from bertline.rows.text_key import add_ids, content_id, content_key


@pytest.fixture(autouse=True)
def _project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def written(*pairs, text_pair=None):
    texts, labels = zip(*pairs, strict=True) if pairs else ((), ())
    write_rows(add_ids(make_rows(texts, labels, text_pair=text_pair)), Path("rows.parquet"))
    return Path("rows.parquet")


def unique(path):
    rows = pa.concat_tables([ROW_SCHEMA.empty_table(), *drop_duplicates(path)])
    return list(zip(rows["text"].to_pylist(), rows["label"].to_pylist(), strict=True))


def test_the_first_of_several_duplicates_is_kept_in_place():
    path = written(("b", "x"), ("A", "x"), ("a ", "x"), ("c", "x"), ("B", "x"))
    assert unique(path) == [("b", "x"), ("A", "x"), ("c", "x")]


def test_the_same_text_with_another_label_is_no_duplicate():
    assert unique(written(("a", "x"), ("a", "y"))) == [("a", "x"), ("a", "y")]


def test_the_same_text_with_another_second_text_is_no_duplicate():
    assert len(unique(written(("a", "x"), ("a", "x"), ("a", "x"), text_pair=["b", "c", "B"]))) == 2


def test_null_and_blank_rows_are_never_duplicates():
    pairs = [(None, "x"), (None, "x"), ("a", None), ("a", None), (" ", "x"), (" ", "x"), ("a", ""), ("a", "")]
    assert unique(written(*pairs)) == pairs


def test_a_duplicate_in_a_later_chunk_is_found():
    pairs = [(str(number), "x") for number in range(CHUNK + 5)]
    assert unique(written(*pairs, ("7", "x"), ("new", "x"))) == [*pairs, ("new", "x")]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "A", "b ", "b", "c", "", None]), st.sampled_from(["x", "y", None]))
    )
)
def test_duplicates_are_what_a_plain_loop_finds(pairs):
    seen, expected = set(), []
    for text, label in pairs:
        key = (content_key(text or ""), label)
        if key[0] == "" or label is None or key not in seen:
            expected.append((text, label))
        seen.add(key)
    assert unique(written(*pairs)) == expected


def test_contents_with_several_labels_contradict():
    path = written(("a", "x"), ("b", "x"), ("A ", "y"), ("b", "x"), (None, "x"), (None, "y"))
    assert contradicting(path).to_pylist() == [content_id("a")]


def test_null_blank_and_unknown_labels_do_not_contradict_a_sound_one():
    path = written(("a", "x"), ("a", None), ("a", ""), ("a", "typo"))
    assert contradicting(path, ["x", "y"]).to_pylist() == []
    assert contradicting(path).to_pylist() == [content_id("a")]


def test_without_labels_a_multi_label_text_is_a_duplicate_and_contradicts(tmp_path):
    path = tmp_path / "rows.parquet"
    write_rows(add_ids(make_rows(["a", "A", "a"], ["", "", "x"])), path, space=MULTI_LABEL)
    assert sum(map(len, drop_duplicates(path, MULTI_LABEL))) == 2
    assert len(contradicting(path, space=MULTI_LABEL)) == 1
    assert len(contradicting(path)) == 0
