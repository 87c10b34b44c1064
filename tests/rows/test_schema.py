import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertline.rows.io import inputs, read_chunks, read_label_space, read_rows, write_rows
from bertline.rows.labels import MULTI_LABEL, SINGLE_LABEL
from bertline.rows.schema import CHUNK, ROW_SCHEMA, SOURCE_SCHEMA, make_rows
from bertline.rows.text_key import IdAssigner, add_ids, content_id, content_key


def rows(*pairs):
    texts, labels = zip(*pairs, strict=True)
    return add_ids(make_rows(texts, labels, source="test", batch="b"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is it ?", "what IS it ?"),
        (" a\t b\n", "a b"),
        ("ﬁn", "fin"),
        ("é", "e\u0301"),
        ("Straße", "STRASSE"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
    ],
)
def test_case_white_space_and_unicode_form_do_not_change_a_content_key(one, other):
    assert content_key(one) == content_key(other)
    assert content_id(one, "pair") == content_id(other, "PAIR")


def test_punctuation_changes_a_content_key():
    assert content_key("you won!") != content_key("you won?")


@settings(deadline=None)
@given(st.text())
def test_the_content_key_of_a_content_key_is_itself(text):
    assert content_key(content_key(text)) == content_key(text)


def test_the_second_text_of_a_pair_changes_the_content():
    assert len({content_id("a"), content_id("a", "b"), content_id("a", ""), content_id("a b")}) == 4


@pytest.mark.parametrize("text", [None, "", " \n"])
def test_a_null_or_blank_text_has_no_content(text):
    assert content_id(text) is None
    assert content_id(text, "pair") is None


def test_one_value_is_repeated_and_a_missing_one_is_null():
    table = make_rows(["a", "b"], "x", source="s", side="test")
    assert table.schema == SOURCE_SCHEMA
    assert table["label"].to_pylist() == ["x", "x"]
    assert table["side"].to_pylist() == ["test", "test"]
    assert table["fault"].null_count == table["timestamp"].null_count == 2


def test_an_id_depends_on_text_and_label_only():
    alone = rows(("a", "x"))["id"][0]
    assert rows(("b", "y"), ("a", "x"))["id"][1] == alone
    assert rows(("a", "y"))["id"][0] != alone


def test_an_id_tells_where_the_text_ends_and_the_label_begins():
    first, second = rows(("ab", "c"), ("a", "bc"))["id"].to_pylist()
    assert first != second


def test_the_documented_id_stays_what_it_is():
    # Splits, predictions and promotions are joined by it: a change orphans every older run.
    assert rows(("What ?", "DESC"))["id"][0].as_py() == "f2881ec9fbbc6159de1403240d789382"


def test_the_id_of_a_pair_depends_on_both_texts():
    pairs = make_rows(["a", "a", "a"], "x", text_pair=["b", "c", None])
    assert len(set(add_ids(pairs)["id"].to_pylist())) == 3


def test_rows_without_text_or_label_still_have_ids_of_their_own():
    table = rows((None, "x"), (None, "x"), ("a", None), ("a", None), (None, None), (None, None), ("a", "x"))
    assert len(set(table["id"].to_pylist())) == len(table)


def test_ids_do_not_depend_on_the_chunks_rows_come_in():
    table = make_rows([None, "a", None, "", "", "a"], ["x", None, "x", "", "", None])
    identify = IdAssigner().identify
    chunks = [identify(table.slice(start, 2)) for start in range(0, 6, 2)]
    assert pa.concat_tables(chunks) == add_ids(table)


def test_the_input_of_a_pair_is_both_texts():
    assert inputs(make_rows(["a", "c"], "x", text_pair=["b", None])) == [("a", "b"), "c"]


def test_what_is_written_is_read_back(tmp_path):
    table = rows(("a", "x"), (None, None))
    assert write_rows(table, tmp_path / "new" / "rows.parquet") == 2
    assert read_rows(tmp_path / "new" / "rows.parquet").equals(table)


@pytest.mark.parametrize("space", [SINGLE_LABEL, MULTI_LABEL])
def test_a_file_says_whether_its_rows_have_several_labels(tmp_path, space):
    write_rows(rows(("a", "x")), tmp_path / "rows.parquet", space=space)
    assert read_label_space(tmp_path / "rows.parquet") == space


def test_no_rows_are_written_and_read_back(tmp_path):
    assert write_rows([], tmp_path / "rows.parquet") == 0
    assert read_rows(tmp_path / "rows.parquet").equals(ROW_SCHEMA.empty_table())


def test_the_bytes_of_a_file_do_not_depend_on_chunks(tmp_path):
    table = rows(*((str(number), "x") for number in range(CHUNK + 10)))
    write_rows(table, tmp_path / "whole.parquet")
    write_rows([table.slice(0, 7), table.slice(7, 0), table.slice(7)], tmp_path / "parts.parquet")
    assert (tmp_path / "whole.parquet").read_bytes() == (tmp_path / "parts.parquet").read_bytes()


def test_rows_are_read_in_chunks_and_only_the_columns_asked_for(tmp_path):
    write_rows(rows(*((str(number), "x") for number in range(CHUNK + 10))), tmp_path / "rows.parquet")
    chunks = list(read_chunks(tmp_path / "rows.parquet", columns=["text"]))
    assert [(chunk.num_rows, chunk.column_names) for chunk in chunks] == [(CHUNK, ["text"]), (10, ["text"])]


def test_a_missing_file_is_an_error_that_names_the_command(tmp_path):
    with pytest.raises(ValueError, match=r"rows.parquet is not here; `dvc repro`"):
        read_rows(tmp_path / "rows.parquet")


def test_a_file_that_is_not_parquet_is_an_error(tmp_path):
    (tmp_path / "rows.parquet").write_text("text,label\n")
    with pytest.raises(ValueError, match="is not a Parquet file"):
        read_rows(tmp_path / "rows.parquet")


def test_other_columns_are_an_error_that_names_them(tmp_path):
    pq.write_table(pa.table({"id": ["1"], "body": ["a"]}), tmp_path / "rows.parquet")
    with pytest.raises(
        ValueError, match="has columns id: string, body: string; expected id: string, content"
    ):
        read_rows(tmp_path / "rows.parquet")


def test_a_table_of_other_columns_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="expected id: string"):
        write_rows(pa.table({"id": ["1"]}), tmp_path / "rows.parquet")
    assert not (tmp_path / "rows.parquet").exists()
