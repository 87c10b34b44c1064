import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ingesting import read, read_and_report

from bertline.corpus.readers import HELD


def write_parquet(name, columns, **options):
    path = Path("data/incoming", name)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, **options)
    return path.as_posix()


# JSON Lines


def test_integers_and_booleans_are_read_as_json_spells_them(incoming):
    rows = read(incoming("a.jsonl", '{"text": 12, "label": true}\n{"text": "b", "label": 1}\n'))
    assert rows.select(["text", "label"]).to_pylist() == [
        {"text": "12", "label": "true"},
        {"text": "b", "label": "1"},
    ]


def test_null_and_missing_values_are_kept_for_validate(incoming):
    lines = '{"text": null, "label": "x"}\n{"label": "x"}\n{"text": " ", "label": ""}\n'
    rows = read(incoming("a.jsonl", lines))
    assert rows["text"].to_pylist() == [None, None, " "]
    assert rows["label"].to_pylist() == ["x", "x", ""]


def test_a_column_nobody_asked_for_may_hold_anything(incoming):
    lines = '{"text": "a", "label": "x", "meta": 1}\n{"text": "b", "label": "y", "meta": {}}\n'
    assert read(incoming("a.jsonl", lines))["text"].to_pylist() == ["a", "b"]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('{"text": ', "line 3 is not JSON: Expecting value at column 10"),
        ("[1]", "line 3 is not a JSON object but '[1]'"),
        ('{"text": "a", "label": 1.5}', "line 3: 'label' is 1.5; allowed: a string or an integer"),
        ('{"text": {"de": "a"}, "label": "x"}', 'line 3: \'text\' is {"de": "a"}; allowed: a string or'),
        ('{"text": "a", "label": NaN}', "line 3: 'label' is NaN; allowed"),
        ('{"text": "a", "label": ["x"]}', "line 3: 'label' is a list; set ingest.label_separator"),
        ("[" * 100_000, "line 3 is not JSON that can be read"),
        ("9" * 5000, "line 3 is not JSON that can be read"),
        ("a\0b", "line 3 is not JSON"),
    ],
)
def test_a_line_that_cannot_be_read_is_a_row_with_a_fault(incoming, line, fault):
    content = f'{{"text": "a", "label": "x"}}\n\n{line}\n{{"text": "b", "label": "y"}}\n'
    rows, (file,) = read_and_report(incoming("a.jsonl", content))
    assert rows["text"].to_pylist() == ["a", line, "b"]
    assert rows["label"].to_pylist() == ["x", None, "y"]
    assert rows["fault"][1].as_py().startswith(fault)
    assert file.faults == 1


def test_a_lone_surrogate_becomes_a_replacement_character_and_a_pair_a_character(incoming):
    content = (
        r'{"text": "a \ud83d\ude00 \ud800", "label": "\udfff"}' + "\n" + r'{"text": 1.5, "label": "\ud800"}'
    )
    rows = read(incoming("a.jsonl", content + "\n"))
    assert rows["text"][0].as_py() == "a 😀 \ufffd"
    assert rows["label"].to_pylist() == ["\ufffd", None]


def test_a_column_that_all_lines_lack_is_an_error(incoming):
    with pytest.raises(
        ValueError, match=r"no column 'label' \(ingest\.label_column\); the file has: text, b$"
    ):
        read(incoming("a.jsonl", '{"text": "a"}\n{"text": "b", "b": 1}\n'))


def test_labels_may_be_lists(incoming):
    lines = ['["y", " x ", "y", ""]', '"b;a"', "[]", '""', "null", "[1, true, null]", '["a;b"]']
    content = "".join(f'{{"text": "a", "label": {label}}}\n' for label in lines)
    rows = read(incoming("a.jsonl", content), label_separator=";")
    assert rows["label"].to_pylist() == ["x\x1fy", "a\x1fb", "", "", None, "1\x1ftrue", "a;b"]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(), min_size=1, max_size=10))
def test_every_text_survives_a_file_of_json_lines(incoming, texts):
    lines = "".join(json.dumps({"text": text, "label": "x"}, ensure_ascii=False) + "\n" for text in texts)
    assert read(incoming("a.jsonl", lines))["text"].to_pylist() == texts


# Parquet


def test_parquet_is_read_in_chunks(incoming):
    count = 2 * HELD + 1
    texts = [str(number) for number in range(count)]
    source = write_parquet("a.parquet", {"text": texts, "label": ["x"] * count})
    assert read(source)["text"].to_pylist() == texts


@pytest.mark.parametrize("kind", [pa.large_string(), pa.string(), pa.dictionary(pa.int8(), pa.string())])
def test_strings_of_parquet_may_have_any_layout(incoming, kind):
    columns = {name: pa.array(["a", None], pa.string()).cast(kind) for name in ("text", "label")}
    rows = read(write_parquet("a.parquet", columns))
    assert rows["text"].to_pylist() == rows["label"].to_pylist() == ["a", None]


def test_labels_of_parquet_may_be_lists(incoming):
    labels = [["y", "x"], [], None, ["a;b", None]]
    source = write_parquet("a.parquet", {"text": list("abcd"), "label": labels})
    rows = read(source, label_separator=";")
    assert rows["label"].to_pylist() == ["x\x1fy", "", None, "a;b"]


@pytest.mark.parametrize(
    ("labels", "kind"), [([1.0], "double"), ([["x"]], "list<element: string>"), ([b"x"], "binary")]
)
def test_a_label_column_of_another_type_is_an_error(incoming, labels, kind):
    source = write_parquet("a.parquet", {"text": ["a"], "label": labels})
    with pytest.raises(
        ValueError, match=f"a.parquet: column 'label' holds {kind}; allowed: strings or integers"
    ):
        read(source)


def test_time_stamps_of_parquet_are_cut_to_microseconds(incoming):
    when = pa.array([1_000_001_999, None], pa.timestamp("ns"))
    source = write_parquet("a.parquet", {"text": ["a", "b"], "label": ["x", "x"], "when": when})
    stamps = read(source, timestamp_column="when")["timestamp"].cast(pa.int64()).to_pylist()
    assert stamps == [1_000_001, None]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (pa.timestamp("ms"), 2**60),
        (pa.timestamp("us", "UTC"), -(2**60)),
        (pa.date32(), 2**31 - 1),
        (pa.dictionary(pa.int8(), pa.timestamp("ms")), 2**60),
    ],
)
def test_a_time_stamp_of_parquet_out_of_range_is_a_fault_of_its_row_alone(incoming, kind, value):
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    integers = pa.array([1, value, None], pa.int32() if pa.types.is_date(plain) else pa.int64())
    columns = {"text": list("abc"), "label": list("xyz"), "when": integers.cast(plain)}
    if plain != kind:
        columns["when"] = columns["when"].dictionary_encode()
    rows, (file,) = read_and_report(write_parquet("a.parquet", columns), timestamp_column="when")
    given = f"{value} ({plain})"
    assert rows["text"].to_pylist() == ["a", json.dumps({"text": "b", "label": "y", "when": given}), "c"]
    assert rows["label"].to_pylist() == ["x", None, "z"]
    fault = f"{given} is out of range (ingest.timestamp_column; allowed: the years 1 to 9999)"
    assert rows["fault"].to_pylist() == [None, fault, None]
    assert rows["timestamp"].is_valid().to_pylist() == [True, False, False]
    assert file.faults == 1


def test_a_date_of_parquet_may_be_time_stamp_and_batch(incoming):
    when = pa.array([20_000, None], pa.int32()).cast(pa.date32())
    source = write_parquet("a.parquet", {"text": ["a", "b"], "label": ["x", "x"], "when": when})
    rows = read(source, timestamp_column="when", batch_column="when")
    assert rows["timestamp"].cast(pa.int64()).to_pylist() == [20_000 * 86_400_000_000, None]
    assert rows["batch"][0].as_py().startswith("2024-10-04")
    assert rows["batch"][1].as_py() == "a"
    assert read(source, batch_column="when")["batch"].to_pylist() == ["2024-10-04", "a"]


@pytest.mark.parametrize("content", ["text,label\n", b"PAR1" + b"\0" * 99 + b"PAR1"])
def test_what_is_no_parquet_is_an_error(incoming, content):
    with pytest.raises(ValueError, match=r"a\.parquet: not Parquet that can be read"):
        read(incoming("a.parquet", content))
