import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bertline.rows.extra import extra_column, extra_names
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


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_column_that_no_row_has_is_named(name: str, incoming: Incoming) -> None:
    content = "text,label\na,x\n" if name == "a.csv" else '{"text": "a", "label": "x"}\n'
    with pytest.raises(ValueError, match=r"no row has a value of the column 'teir'.*ingest\.keep_columns"):
        read(incoming(name, content), keep_columns=["teir"])


def test_a_column_may_be_kept_and_be_the_delivery_too(incoming: Incoming) -> None:
    rows = read(incoming("a.csv", "text,label,week\na,x,12\n"), keep_columns=["week"], batch_column="week")
    assert columns(rows) == {"week": ["12"]}
    assert rows["batch"].to_pylist() == ["12"]


def test_rows_without_kept_columns_have_none(incoming: Incoming) -> None:
    rows = read(incoming("a.csv", CSV))
    assert extra_names(rows) == []
    assert rows["extra"].null_count == 3
