import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertline.corpus.rows import ROWS, content_key, read_rows, with_ids, write_rows


def rows(*pairs):
    texts, labels = zip(*pairs, strict=True)
    columns = {"text": pa.array(texts, pa.string()), "label": pa.array(labels, pa.string())}
    stamps = pa.nulls(len(pairs), ROWS.field("timestamp").type)
    return with_ids(pa.table({**columns, "source": ["test"] * len(pairs), "timestamp": stamps}))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is it ?", "what IS it ?"),
        (" a\t b\n", "a b"),
        ("ﬁn", "fin"),
        ("é", "e\u0301"),
        ("Straße", "STRASSE"),
    ],
)
def test_case_white_space_and_unicode_form_do_not_change_a_content_key(one, other):
    assert content_key(one) == content_key(other)


def test_punctuation_changes_a_content_key():
    assert content_key("you won!") != content_key("you won?")


@given(st.text())
def test_the_content_key_of_a_content_key_is_itself(text):
    assert content_key(content_key(text)) == content_key(text)


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


def test_rows_without_text_or_label_still_have_ids_of_their_own():
    table = rows((None, "x"), (None, "x"), ("a", None), ("a", None), (None, None), (None, None), ("a", "x"))
    assert len(set(table["id"].to_pylist())) == len(table)


def test_what_is_written_is_read_back(tmp_path):
    table = rows(("a", "x"), (None, None))
    write_rows(table, tmp_path / "new" / "rows.parquet")
    assert read_rows(tmp_path / "new" / "rows.parquet").equals(table)


def test_a_missing_file_is_an_error_that_names_the_command(tmp_path):
    with pytest.raises(ValueError, match=r"rows.parquet is not here; `dvc repro`"):
        read_rows(tmp_path / "rows.parquet")


def test_a_file_that_is_not_parquet_is_an_error(tmp_path):
    (tmp_path / "rows.parquet").write_text("text,label\n")
    with pytest.raises(ValueError, match="is not a Parquet file"):
        read_rows(tmp_path / "rows.parquet")


def test_other_columns_are_an_error_that_names_them(tmp_path):
    pq.write_table(pa.table({"id": ["1"], "body": ["a"]}), tmp_path / "rows.parquet")
    with pytest.raises(ValueError, match="has columns id: string, body: string; expected id: string, text"):
        read_rows(tmp_path / "rows.parquet")


def test_a_table_of_other_columns_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="expected id: string"):
        write_rows(pa.table({"id": ["1"]}), tmp_path / "rows.parquet")
    assert not (tmp_path / "rows.parquet").exists()
