import datetime as dt
import json
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bertline.rows.extra import extra_column, extra_names
from bertline.rows.io import read_chunks, read_rows, write_rows
from bertline.rows.schema import ROW_SCHEMA, make_rows
from bertline.rows.text_key import add_ids
from bertline.stages.ingest.stage import ingest
from bertline.stages.split.near_duplicates import SET_ASIDE
from bertline.stages.split.stage import split
from tests.support.ingesting import read

Incoming = Callable[[str, str], str]
KEEP = ["customer", "tier"]
RECORDS = [
    {"text": "first", "label": "x", "customer": 'Ann, of "A"', "tier": 1},
    {"text": "second", "label": "y", "customer": " ", "tier": None},
    {"text": "third", "label": "y", "customer": "Ünal", "tier": 2},
]
CSV = 'tier,text,customer,label\n1,first,"Ann, of ""A""",x\n,second, ,y\n2,third,Ünal,y\n'


def columns(rows: pa.Table) -> dict[str, list[str | None]]:
    return {name: extra_column(rows, name).to_pylist() for name in extra_names(rows)}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", CSV),
        ("a.jsonl", "".join(json.dumps(each) + "\n" for each in RECORDS)),
        ("a.json", json.dumps(RECORDS)),
    ],
)
def test_rows_keep_the_columns_that_are_named(name: str, content: str, incoming: Incoming) -> None:
    rows = read(incoming(name, content), keep_columns=KEEP)
    assert columns(rows) == {"customer": ['Ann, of "A"', None, "Ünal"], "tier": ["1", None, "2"]}
    assert rows["extra"][1].as_py() is None


def test_a_kept_column_of_parquet_may_hold_dates(incoming: Incoming) -> None:
    source = incoming("a.parquet", "")
    day = dt.datetime(2026, 11, 30, 8, tzinfo=dt.UTC)
    table = pa.table(
        {"text": ["a", "b"], "label": ["x", "y"], "seen": pa.array([day, None], pa.timestamp("s", "UTC"))}
    )
    pq.write_table(table, Path(source))
    assert columns(read(source, keep_columns=["seen"]))["seen"] == ["2026-11-30 08:00:00.000Z", None]


def test_an_older_delivery_may_lack_a_kept_column(incoming: Incoming) -> None:
    incoming("1.csv", "text,label\nold,x\n")
    incoming("2.csv", "text,label,tier\nnew,y,gold\n")
    rows = read("data/incoming/*.csv", keep_columns=["tier"])
    assert columns(rows) == {"tier": [None, "gold"]}


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_a_column_that_no_row_has_is_named_with_those_that_the_files_have(
    name: str, incoming: Incoming
) -> None:
    incoming("0.csv", "label,text,city\nx,a,Lima\n")
    incoming(name, CSV if name == "a.csv" else "".join(json.dumps(each) + "\n" for each in RECORDS))
    if name == "a.parquet":
        pq.write_table(pa.Table.from_pylist(RECORDS), Path("data/incoming", name))
    says = r"no row has a value of the column 'teir' \(ingest\.keep_columns\); .*; the files have: (.*)$"
    with pytest.raises(ValueError, match=says) as error:
        read("data/incoming/*", keep_columns=["teir"])
    [names] = re.findall(says, str(error.value))
    assert names.split(", ")[:3] == ["label", "text", "city"]
    assert sorted(names.split(", ")) == ["city", "customer", "label", "text", "tier"]


def test_of_a_sample_no_column_can_be_kept_but_its_own_are_named() -> None:
    with pytest.raises(ValueError, match=r"the files have: text, label$"):
        read("sample:trec", keep_columns=["tier"])


def test_rows_without_kept_columns_have_none(incoming: Incoming) -> None:
    rows = read(incoming("a.csv", CSV))
    assert extra_names(rows) == []
    assert rows["extra"].null_count == 3


def test_a_kept_number_counts_by_its_value_and_a_missing_one_is_none(incoming):
    rows = read(
        incoming("a.csv", "text,label,customer\na,x,47.0\nb,y,47\nc,y,nan\n"), keep_columns=["customer"]
    )
    assert extra_column(rows, "customer").to_pylist() == ["47", "47", None]


def test_a_row_with_a_fault_keeps_its_values(incoming):
    source = incoming("a.csv", "text,label,when,tier\na,x,never,gold\n")
    rows = read(source, timestamp_column="when", keep_columns=["tier"])
    assert rows["fault"][0].as_py() is not None
    assert extra_column(rows, "tier").to_pylist() == ["gold"]


def test_ids_do_not_depend_on_what_is_kept(incoming):
    source = incoming("a.csv", CSV)
    assert add_ids(read(source)).drop(["extra"]) == add_ids(read(source, keep_columns=["tier"])).drop(
        ["extra"]
    )


def test_the_first_of_equal_rows_keeps_its_values_through_ingest_and_split(set_params):
    texts = [f"{chr(97 + number % 26)}{chr(97 + number // 26)} text" for number in range(300)]
    lines = [f"{text},{'xy'[at % 2]},{at}\n" for at, text in enumerate(texts)]
    Path("data/incoming").mkdir(parents=True)
    Path("data/incoming/a.csv").write_text("".join(["text,label,number\n", *lines, f"{texts[0]},x,last\n"]))
    set_params("ingest", source="data/incoming/a.csv", keep_columns=["number"])
    validated = Path("data/validated/rows.parquet")
    ingest(rows=validated, report=Path("reports/ingest.json"))
    split(rows=validated, out=Path("data/splits"), report=Path("reports/split"))
    found = {}
    for name in ("train", "validation", "test", "set_aside"):
        schema = SET_ASIDE if name == "set_aside" else ROW_SCHEMA
        rows = read_rows(Path(f"data/splits/{name}.parquet"), schema)
        found |= dict(zip(rows["text"].to_pylist(), extra_column(rows, "number").to_pylist(), strict=True))
    assert found == {text: str(at) for at, text in enumerate(texts)}


def test_a_file_of_rows_from_before_is_read_as_one_with_nothing_kept(tmp_path):
    rows = add_ids(make_rows(["a", "b"], "x"))
    old = ROW_SCHEMA.remove(ROW_SCHEMA.get_field_index("extra"))
    write_rows(rows.drop(["extra"]), tmp_path / "rows.parquet", old)
    assert read_rows(tmp_path / "rows.parquet") == rows
    assert next(read_chunks(tmp_path / "rows.parquet", columns=["extra", "id"])).num_columns == 2
    assert extra_names(read_rows(tmp_path / "rows.parquet")) == []
