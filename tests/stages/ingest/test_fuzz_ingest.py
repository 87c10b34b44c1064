"""Malformed files thrown at ingest: never anything but rows or one plain ValueError, and never a lost row."""

import gzip
import io
import re
import string

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from bertline.rows.schema import SOURCE_SCHEMA
from bertline.rows.text_key import add_ids
from tests.support.ingesting import read, read_and_report


def fuzz(max_examples):
    return settings(
        max_examples=max_examples, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )


def parquet():
    sink = io.BytesIO()
    columns = {"text": ["a", None], "label": ["1", "2"], "when": ["2024-01-01", None]}
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


VALID = {
    "a.csv": b'text,label,when\n"a ""b""\nc",1,2024-01-01\n',
    "a.tsv": b"text\tlabel\twhen\na\t1\t2024-01-01T00:00:00Z\n",
    "a.jsonl": b'{"text": "\\ud83d\\ude00", "label": [1, "b"], "when": "2024-01-01"}\n{"text": null}\n',
    "a.parquet": parquet(),
    "a.csv.gz": gzip.compress(b"text,label,when\na,b,2024-01-01\n", mtime=0),
}
ENCODINGS = [None, "utf-8", "latin-1", "utf-16", "utf-7", "shift_jis"]


def rows_or_one_plain_error(source, **knobs):
    """Read a file; check that it ends in rows, or in a ValueError that names it on one line."""
    failure = None
    try:
        rows = add_ids(read(source, timestamp_column="when", label_separator=";", **knobs))
        assert len(rows) > 0
        rows.validate(full=True)
    except ValueError as error:
        failure = error
    if failure is not None:
        assert type(failure) is ValueError
        assert source in str(failure)
        assert "\n" not in str(failure)


@fuzz(250)
@given(
    name=st.sampled_from(sorted(VALID)),
    at=st.integers(0, 400),
    cut=st.integers(0, 9),
    junk=st.binary(max_size=9),
    encoding=st.sampled_from(ENCODINGS),
)
@example(name="a.jsonl", at=11, cut=12, junk=rb"\ud800", encoding="utf-8")
def test_a_damaged_file_ends_in_rows_or_in_one_plain_error(incoming, name, at, cut, junk, encoding):
    source = incoming(name, VALID[name][:at] + junk + VALID[name][at + cut :])
    rows_or_one_plain_error(source, encoding=encoding)


@fuzz(150)
@given(
    name=st.sampled_from(sorted(VALID)),
    head=st.sampled_from([b"", b"text,label,when\n", b"text\tlabel\twhen\n", b"\xff\xfe", b"\xef\xbb\xbf"]),
    junk=st.binary(max_size=300),
    encoding=st.sampled_from(ENCODINGS),
)
def test_any_bytes_end_in_rows_or_in_one_plain_error(incoming, name, head, junk, encoding):
    rows_or_one_plain_error(incoming(name, head + junk), encoding=encoding)


LINES = st.lists(
    st.text(st.sampled_from("\"\\,;\t|'{}[]:1 \r\0\ufeffäé😀\u2028\x85ab"), max_size=20),
    min_size=1,
    max_size=12,
)


def parts(rows):
    """Return all that was read, of texts and labels, in one string."""
    return "".join(f"{row['text']}{row['label']}" for row in rows.to_pylist())


@fuzz(150)
@given(LINES)
def test_no_line_of_a_tsv_is_lost_or_doubled_whatever_it_holds(incoming, lines):
    marked = [f"{line}<{at}>" for at, line in enumerate(lines)]
    source = incoming("a.tsv", "\n".join(["text\tlabel", "first\tx", *marked]))
    found = parts(read(source, encoding="utf-8"))
    assert all(found.count(f"<{at}>") == 1 for at in range(len(lines)))


@fuzz(150)
@given(LINES)
def test_every_line_of_a_tsv_without_quotes_and_backslashes_is_one_row(incoming, lines):
    lines = [line.translate(dict.fromkeys(map(ord, "\"'\\"))) for line in lines]
    expected = sum(bool(line.strip(" \r")) for line in lines)
    source = incoming("a.tsv", "\n".join(["text\tlabel", "first\tx", *lines]))
    assert len(read(source, encoding="utf-8")) == 1 + expected


@fuzz(150)
@given(LINES)
def test_every_line_of_json_lines_that_is_not_blank_is_one_row(incoming, lines):
    expected = sum(bool(line.strip(" \t\r")) for line in lines)
    source = incoming("a.jsonl", "\n".join(['{"text": "first", "label": "x"}', *lines]))
    rows = read(source, encoding="utf-8")
    assert len(rows) == 1 + expected
    assert rows.schema == SOURCE_SCHEMA


JUNK = st.text(st.sampled_from('""",; \'\\\tab'), max_size=8)
STRAY_QUOTES = st.text(st.sampled_from('""",; \tab'), max_size=8)


@fuzz(300)
@given(
    texts=st.lists(st.tuples(STRAY_QUOTES, STRAY_QUOTES, st.sampled_from("xyz")), min_size=1, max_size=12),
    label_first=st.booleans(),
)
def test_every_line_of_a_csv_with_stray_quotes_is_one_row_with_its_label(incoming, texts, label_first):
    lines = [("first", "x"), ("second", "y"), ("third", "z")]
    lines += [(f"{before}token{at}.{after}", label) for at, (before, after, label) in enumerate(texts)]
    order = slice(None, None, -1 if label_first else 1)
    content = "\n".join(",".join(line[order]) for line in [("text", "label"), *lines])
    rows, _ = read_and_report(incoming("a.csv", content))
    assert len(rows) == len(lines)
    assert rows["label"].to_pylist() == [label for _, label in lines]
    assert all(f"token{at}." in rows["text"][3 + at].as_py() for at in range(len(texts)))


@fuzz(300)
@given(st.lists(st.tuples(JUNK, JUNK), min_size=1, max_size=12))
@example([("", ",,"), (",,", ",")])  # a delimiter behind the last column
def test_no_part_of_a_csv_is_lost_or_doubled_whatever_its_quotes_are(incoming, junk):
    lines = [f"{before}<{at}>{after}" for at, (before, after) in enumerate(junk)]
    found = parts(read(incoming("a.csv", "\n".join(["text,label", *lines]))))
    assert all(found.count(f"<{at}>") == 1 for at in range(len(lines)))


@fuzz(100)
@given(st.lists(st.tuples(st.text(string.printable), st.sampled_from("xyz")), min_size=1, max_size=12))
@example([(r"\N", "x")])  # a null is in no quotes
def test_a_soundly_quoted_csv_is_read_as_it_was_written(incoming, pairs):
    escapes = sum(re.search(r"\\[,\r\n]", text) is not None for text, _ in pairs)
    assume(escapes < 3)  # as many show a dialect with escapes
    quoted = ['"{}","{}"\r\n'.format(text.replace('"', '""'), label) for text, label in pairs]
    rows, (file,) = read_and_report(incoming("a.csv", "".join(['"text","label"\r\n', *quoted])))
    assert rows["text"].to_pylist() == [text for text, _ in pairs]
    assert (file.faults, file.repaired_quotes) == (0, 0)


@pytest.mark.parametrize("name", sorted(VALID))
def test_the_valid_files_are_valid(incoming, name):
    assert len(read(incoming(name, VALID[name]), label_separator=";")) > 0
