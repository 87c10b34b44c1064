import json
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertline.prediction.source import CHUNK, CHUNK_BYTES, open_source

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


def read(path: Path) -> list[dict[str, object]]:
    source = open_source(path, ["text"])
    rows = [row for chunk in source.chunks() for row in chunk.to_pylist()]
    assert source.rows == len(rows)
    return rows


def write(path: Path, table: pa.Table) -> None:
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=7)
    elif path.suffix == ".csv":
        pa_csv.write_csv(table, path)
    else:
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in table.to_pylist()]
        path.write_text("".join(lines), encoding="utf-8", newline="")


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
@settings(deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=30))
def test_all_rows_come_in_order_as_they_are(
    kind: str, texts: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("rows") / f"rows.{kind}"
    table = pa.table({"id": [f"0{i}" for i in range(len(texts))], "text": texts})
    write(path, table)
    assert read(path) == table.to_pylist()


@pytest.mark.parametrize("rows", [0, CHUNK, CHUNK + 1])
def test_rows_come_in_chunks_and_none_is_an_empty_one(tmp_path: Path, rows: int) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"text": pa.array(["a"] * rows, pa.string())}), path, row_group_size=1000)
    sizes = [len(chunk) for chunk in open_source(path, ["text"]).chunks()]
    assert sizes == {0: [0], CHUNK: [CHUNK], CHUNK + 1: [CHUNK, 1]}[rows]


def test_of_long_texts_fewer_come_at_once_and_none_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    texts = [f"{i} " + "long " * 4000 for i in range(2000)]
    pq.write_table(pa.table({"text": texts}), path)
    chunks = [*open_source(path, ["text"]).chunks()]
    assert [text for chunk in chunks for text in chunk["text"].to_pylist()] == texts
    assert max(chunk.nbytes for chunk in chunks) <= CHUNK_BYTES
    assert len(chunks) == 3


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_header_tells_the_delimiter(tmp_path: Path, delimiter: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(f'id{delimiter}text\n1{delimiter}"a, b; c"\n')
    assert read(path) == [{"id": "1", "text": "a, b; c"}]


def test_quotes_within_a_line_make_no_error(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('text,id\n"Hello" she said,1\n5" pipe,2\n"a ""b""",3\n"last" one,4')
    assert [row["text"] for row in read(path)] == ["Hello she said", '5" pipe', 'a "b"', "last one"]


def test_a_byte_order_mark_is_no_part_of_a_column(tmp_path: Path) -> None:
    for name, line in (("rows.csv", "text\na\n"), ("rows.jsonl", '{"text": "a"}\n')):
        (tmp_path / name).write_text(line, encoding="utf-8-sig")
        assert read(tmp_path / name) == [{"text": "a"}]


def test_a_column_of_json_lines_has_the_type_of_all_its_values(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [{"text": "a", "n": 1, "mixed": 1}, {"n": 2.5, "mixed": "b", "list": [1]}, {"big": 2**70}]
    path.write_text("".join(json.dumps(row) + "\n\n" for row in rows))
    assert read(path) == [
        {"text": "a", "n": 1.0, "mixed": "1", "list": None, "big": None},
        {"text": None, "n": 2.5, "mixed": '"b"', "list": "[1]", "big": None},
        {"text": None, "n": None, "mixed": None, "list": None, "big": str(2**70)},
    ]


@pytest.mark.parametrize(
    ("name", "content"),
    [("rows.csv", "text,id"), ("rows.csv", "text,id\n"), ("rows.jsonl", ""), ("rows.jsonl", "\n")],
)
def test_a_file_without_rows_is_a_table_without_rows(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    assert read(tmp_path / name) == []


@pytest.mark.parametrize("name", ["rows.parquet", "rows.jsonl"])
def test_a_column_of_nulls_holds_texts_that_are_missing(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, pa.table({"text": pa.nulls(2)}))
    assert read(tmp_path / name) == [{"text": None}] * 2


def test_integers_that_a_column_of_fractions_cannot_hold_become_json_text(tmp_path: Path) -> None:
    rows = [{"text": "a", "n": 2**53 + 1}, {"text": "b", "n": 0.5}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [row["n"] for row in read(tmp_path / "rows.jsonl")] == [str(2**53 + 1), "0.5"]


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("rows.csv", b"id,text\n1,a\n2,b,c\n", "Row #3: Expected 2 columns, got 3"),
        ("rows.csv", b"id,text\n1,a\n2,caf\xe9\n", "Row #3: CSV conversion error to string: invalid UTF8"),
        (
            "rows.csv",
            b'id,text\n1,a\n2,"b\n3,c\n',
            "the record from line 3 on has a quote that nothing closes",
        ),
        (
            "rows.csv",
            b'id,text\n1,"a\n2,"b"\n3,c\n',
            "the record from line 2 on has a quote that nothing closes, text behind a closing quote",
        ),
        ("rows.csv", b'id,text\n1,a\n2,"b', "the record from line 3 on has a quote that nothing closes"),
        ("rows.csv", "id,text\n1,a\n".encode("utf-16"), "is UTF-16; write it as UTF-8"),
        ("rows.csv", b"", "has no header"),
        ("rows.csv", b"text,text\na,b\n", "has the column 'text' twice"),
        ("rows.jsonl", b'{"text": "a"}\n{"text":\n', "line 2 is no JSON in UTF-8"),
        ("rows.jsonl", b'{"text": "a"}\n[1]\n', "line 2 is no JSON object"),
        ("rows.jsonl", b'{"text": "\\ud800"}\n', "line 1 is no JSON in UTF-8"),
        ("rows.jsonl", b'{"text": "a"}\n{"text": 3}\n', "line 2: 'text' is 3, no text"),
        ("rows.parquet", b"no", "cannot be read"),
        ("rows.xlsx", b"no", "allowed: .parquet, .csv, .tsv, .jsonl"),
        ("rows.csv", b"id,body\n1,a\n", "has no column 'text'; there are: id, body; name yours"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line_with_the_row(
    tmp_path: Path, name: str, content: bytes, fault: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=fault) as raised:
        open_source(tmp_path / name, ["text"])
    assert len(str(raised.value).splitlines()) == 1


def test_a_column_of_numbers_holds_no_texts(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": [1, 2]}), tmp_path / "rows.parquet")
    with pytest.raises(ValueError, match="column 'text' holds int64, not texts"):
        open_source(tmp_path / "rows.parquet", ["text"])
