import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bertline.stages.ingest.records import RECORDS_AT_ONCE
from tests.support.ingesting import read, read_and_report


def write_parquet(name, columns, **options):
    path = Path("data/incoming", name)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, **options)
    return path.as_posix()


def test_parquet_is_read_in_chunks(incoming):
    count = 2 * RECORDS_AT_ONCE + 1
    texts = [str(number) for number in range(count)]
    source = write_parquet("a.parquet", {"text": texts, "label": ["x"] * count})
    assert read(source)["text"].to_pylist() == texts


@pytest.mark.parametrize("kind", [pa.large_string(), pa.string(), pa.dictionary(pa.int8(), pa.string())])
def test_strings_of_parquet_may_have_any_layout(incoming, kind):
    columns = {name: pa.array(["a", None], pa.string()).cast(kind) for name in ("text", "label")}
    rows = read(write_parquet("a.parquet", columns))
    assert rows["text"].to_pylist() == rows["label"].to_pylist() == ["a", ""]


def test_labels_of_parquet_may_be_lists(incoming):
    labels = [["y", "x"], [], None, ["a;b", None]]
    source = write_parquet("a.parquet", {"text": list("abcd"), "label": labels})
    rows = read(source, label_separator=";")
    assert rows["label"].to_pylist() == ["x\x1fy", "", None, "a;b"]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([["x"]], r"'label' is a list; set ingest\.label_separator"),
        ([b"x"], r"'label' \(ingest\.label_column\) holds binary; allowed: strings, numbers or booleans"),
        ([{"a": 1}], r"'label' \(ingest\.label_column\) holds struct<a: int64>; allowed: strings,"),
        (
            [datetime(2026, 1, 1)],
            r"'label' \(ingest\.label_column\) holds timestamp\[us\]; allowed: strings,",
        ),
    ],
)
def test_a_label_column_of_another_type_is_an_error(incoming, labels, message):
    source = write_parquet("a.parquet", {"text": ["a"], "label": labels})
    with pytest.raises(ValueError, match=rf"a\.parquet: column {message}"):
        read(source)


@pytest.mark.parametrize(
    ("kind", "values", "labels"),
    [
        (pa.float64(), [1.0, 0.1, None, float("nan")], ["1", "0.1", "", ""]),
        (pa.float32(), [1.0, 0.1, -0.0, None], ["1", "0.1", "0", ""]),
        (pa.int64(), [2**53 + 1, -1, 0, None], ["9007199254740993", "-1", "0", ""]),
        (pa.uint64(), [2**64 - 1, 1, 0, None], ["18446744073709551615", "1", "0", ""]),
        (
            pa.decimal128(5, 2),
            [Decimal("1.00"), Decimal("1.50"), Decimal("-0.00"), None],
            ["1", "1.50", "0", ""],
        ),
        (pa.bool_(), [True, False, None, True], ["true", "false", "", "true"]),
        (pa.dictionary(pa.int8(), pa.float64()), [1.0, 1.0, 2.0, None], ["1", "1", "2", ""]),
        (pa.null(), [None, None, None, None], ["", "", "", ""]),
    ],
)
def test_a_label_of_any_number_type_is_the_class_of_its_value(incoming, kind, values, labels):
    column = pa.array(values, kind.value_type).dictionary_encode() if pa.types.is_dictionary(kind) else None
    column = pa.array(values, kind) if column is None else column
    assert (
        read(write_parquet("a.parquet", {"text": list("abcd"), "label": column}))["label"].to_pylist()
        == labels
    )


@pytest.mark.parametrize("kind", [pa.list_, pa.large_list, lambda element: pa.list_(element, 2)])
@pytest.mark.parametrize(
    ("element", "values"), [(pa.float64(), [1.0, 2.0]), (pa.string(), ["1", "2.0"]), (pa.int8(), [2, 1])]
)
def test_lists_of_labels_may_have_any_layout_and_elements(incoming, kind, element, values):
    source = write_parquet("a.parquet", {"text": ["a"], "label": pa.array([values], kind(element))})
    assert read(source, label_separator=";")["label"].to_pylist() == ["1\x1f2"]


def test_a_time_of_day_is_no_time_stamp(incoming):
    columns = {"text": ["a"], "label": ["x"], "when": pa.array([1], pa.time64("us"))}
    with pytest.raises(
        ValueError, match=r"'when' \(ingest\.timestamp_column\) holds time64\[us\]; allowed: time"
    ):
        read(write_parquet("a.parquet", columns), timestamp_column="when")


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
