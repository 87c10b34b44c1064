"""Databases, on SQLite."""

# ruff: noqa: S608 - the SQL is made of what stands in this file

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bertline.fetching import databases
from bertline.rows.duckdb_query import scratch_folder
from tests.support.fetched import SNAPSHOT, Sql, bring, files, rows

SINCE = "SELECT text, created FROM tickets WHERE :since IS NULL OR created > :since"


@pytest.fixture
def tickets(project: Path) -> Sql:
    """Run statements in tickets.db, which has a table `tickets`."""

    def run(*statements: str) -> None:
        with closing(sqlite3.connect(project / "tickets.db")) as database, database:
            for statement in statements:
                database.execute(statement)

    run("CREATE TABLE tickets (text TEXT, label, created TEXT)")
    return run


def insert(*texts: str, created: str = "2026-09-01", label: object = 1) -> str:
    values = ", ".join(f"('{text}', {label!r}, '{created}')" for text in texts)
    return f"INSERT INTO tickets VALUES {values}"


def test_a_snapshot_has_every_row_and_equal_rows_too(tickets: Sql) -> None:
    tickets(insert("b", "a", "a", "déjà\nvu"))
    assert bring("sqlite:///tickets.db", query="SELECT text, label FROM tickets") == [f"{SNAPSHOT}: 4 rows"]
    assert rows(SNAPSHOT) == [("a", 1), ("a", 1), ("b", 1), ("déjà\nvu", 1)]


def test_the_bytes_of_a_snapshot_do_not_depend_on_the_order_of_the_rows(
    tickets: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    tickets(*(insert(f"text {i * 7919 % 5000}", label=[i % 3, None][i % 2] or "x") for i in range(500)))
    monkeypatch.setattr(databases, "CHUNK", 64)
    contents = set()
    for order in ("rowid", "rowid DESC", "text, label"):
        bring("sqlite:///tickets.db", query=f"SELECT text, label FROM tickets ORDER BY {order}")
        contents.add(Path(SNAPSHOT).read_bytes())
    assert len(contents) == 1


def test_an_unchanged_snapshot_is_not_touched_and_a_changed_one_is_replaced(tickets: Sql) -> None:
    tickets(insert("a"))
    query = "SELECT text FROM tickets"
    bring("sqlite:///tickets.db", query=query)
    before = Path(SNAPSHOT).stat().st_ino
    assert bring("sqlite:///tickets.db", query=query) == [f"{SNAPSHOT}: 1 rows, unchanged"]
    assert Path(SNAPSHOT).stat().st_ino == before
    tickets(insert("b"))
    assert bring("sqlite:///tickets.db", query=query) == [f"{SNAPSHOT}: 2 rows"]


def test_batches_have_the_new_rows_only_and_none_is_made_without(tickets: Sql) -> None:
    tickets(insert("first"))
    shown = []
    for day, text in enumerate(("second", None, "third"), start=2):
        shown.append(bring("sqlite:///tickets.db", query=SINCE, since_column="created"))
        if text:
            tickets(insert(text, created=f"2026-09-{day:02}"))
    shown.append(bring("sqlite:///tickets.db", query=SINCE, since_column="created"))
    batches = [f"data/incoming/fetched-000{number}.parquet" for number in (1, 2, 3)]
    assert shown == [[f"{batches[0]}: 1 rows"], [f"{batches[1]}: 1 rows"], [], [f"{batches[2]}: 1 rows"]]
    assert [[text for text, _ in rows(batch)] for batch in batches] == [["first"], ["second"], ["third"]]


def test_rows_that_came_late_are_found_by_looking_back_and_none_comes_twice(tickets: Sql) -> None:
    query = SINCE.replace("created > :since", "created >= date(:since, '-7 days')")
    tickets(insert("old", created="2026-08-01"), insert("a", "a"))
    bring("sqlite:///tickets.db", query=query, since_column="created")
    tickets(insert("late", created="2026-08-30"), insert("at the same time"))
    bring("sqlite:///tickets.db", query=query, since_column="created")
    assert [text for text, _ in rows("data/incoming/fetched-0002.parquet")] == ["at the same time", "late"]


def test_a_batch_may_have_a_column_that_earlier_ones_lack(tickets: Sql) -> None:
    tickets(insert("a"))
    bring("sqlite:///tickets.db", query=SINCE, since_column="created")
    tickets(insert("b", created="2026-09-02"))
    bring("sqlite:///tickets.db", query=SINCE.replace("text,", "text, label,"), since_column="created")
    assert rows("data/incoming/fetched-0002.parquet") == [("b", 1, "2026-09-02")]


def test_a_column_whose_name_changed_its_case_is_still_compared(tickets: Sql) -> None:
    query = "SELECT {} FROM tickets WHERE :since IS NULL OR created >= :since"
    tickets(insert("a"))
    bring("sqlite:///tickets.db", query=query.format('text AS "Text", created'), since_column="created")
    tickets(insert("b"))
    bring("sqlite:///tickets.db", query=query.format("text, created"), since_column="created")
    assert rows("data/incoming/fetched-0002.parquet") == [("b", "2026-09-01")]


def test_rows_without_a_bound_land_once(tickets: Sql) -> None:
    query = SINCE + " OR created IS NULL"
    tickets(insert("a"), "INSERT INTO tickets VALUES ('undated', 1, NULL)")
    bring("sqlite:///tickets.db", query=query, since_column="created")
    assert bring("sqlite:///tickets.db", query=query, since_column="created") == []
    tickets(insert("b", created="2026-09-02"), "INSERT INTO tickets VALUES ('undated too', 1, NULL)")
    bring("sqlite:///tickets.db", query=query, since_column="created")
    assert [text for text, _ in rows("data/incoming/fetched-0002.parquet")] == ["b", "undated too"]


def test_batches_are_counted_by_number_and_none_is_replaced(tickets: Sql) -> None:
    folder = Path("data/incoming")
    tickets(insert("a"))
    bring("sqlite:///tickets.db", query=SINCE, since_column="created")
    (folder / "fetched-0001.parquet").rename(folder / "fetched-9999.parquet")
    (folder / "fetched-2024-old.parquet").write_text("the user's own")
    for day in (2, 3):
        tickets(insert("b", created=f"2026-09-0{day}"))
        bring("sqlite:///tickets.db", query=SINCE, since_column="created")
    for number, day in (9999, 1), (10000, 2), (10001, 3):
        ((_, created),) = rows(f"data/incoming/fetched-{number}.parquet")
        assert created == f"2026-09-0{day}"


def test_a_column_of_mixed_types_becomes_text_whatever_chunk_a_value_is_in(
    tickets: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "CHUNK", 2)
    tickets(
        insert("a", "b", "c", label=7),
        insert("d", label="x"),
        "UPDATE tickets SET label = NULL WHERE text = 'c'",
    )
    bring("sqlite:///tickets.db", query="SELECT text, label, NULL AS none FROM tickets")
    assert rows(SNAPSHOT) == [("a", "7", None), ("b", "7", None), ("c", None, None), ("d", "x", None)]


def test_colons_and_percent_signs_in_a_query_stand_for_themselves(tickets: Sql) -> None:
    tickets(insert("at 10:30 100% :x"))
    bring(
        "sqlite:///tickets.db",
        query="""SELECT text FROM tickets WHERE text LIKE '%:x' AND '{"a":1}' <> ':b'""",
    )
    assert rows(SNAPSHOT) == [("at 10:30 100% :x",)]


@pytest.mark.parametrize(
    ("knobs", "says"),
    [
        ({"query": "SELECT * FROM nowhere"}, "fetch.query is wrong: no such table: nowhere"),
        ({"query": "SELECT missing FROM tickets"}, "fetch.query is wrong: no such column: missing"),
        ({"query": "SELEC 1"}, 'fetch.query is wrong: near "SELEC": syntax error'),
        ({"query": "DELETE FROM tickets"}, "fetch.query is wrong: attempt to write a readonly database"),
        ({"query": "DROP TABLE tickets"}, "fetch.query is wrong: attempt to write a readonly database"),
        ({"query": "SELECT * FROM tickets WHERE 1 = 0"}, "fetch.query finds no rows"),
        ({"query": "SELECT text, text FROM tickets"}, "two columns of the same name"),
        (
            {"query": 'SELECT label AS "Text", text FROM tickets'},
            "two columns whose names differ only in case, among Text, text; use AS",
        ),
        ({"query": "SELECT x'00' AS raw"}, "column 'raw' of fetch.query holds bytes"),
        ({"query": "SELECT NULL AS a, NULL AS b"}, "rows without any value"),
        ({}, "a database needs fetch.query"),
        ({"query": SINCE, "since_column": "id"}, "fetch.since_column is 'id'; fetch.query has the columns"),
        (
            {"query": SINCE.replace("text,", "'10' AS id,"), "since_column": "id"},
            "fetch.since_column 'id' holds numbers as text or decimals",
        ),
    ],
)  # fmt: skip
def test_a_wrong_query_is_one_line_and_changes_nothing(
    tickets: Sql, knobs: dict[str, str], says: str
) -> None:
    tickets(insert("a"))
    with pytest.raises(ValueError, match=r"^fetch.source sqlite:///tickets.db: ") as error:
        bring("sqlite:///tickets.db", **knobs)
    assert says in str(error.value)
    assert "\n" not in str(error.value)
    assert files() == ["tickets.db"]
    bring("sqlite:///tickets.db", query="SELECT text FROM tickets")
    assert rows(SNAPSHOT) == [("a",)]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (["21/09/2026 19:00"], "holds '21/09/2026 19:00', which as text does not sort by time; CAST it"),
        (["2026-21-09"], "holds '2026-21-09', which as text does not sort by time"),
        (["2026-9-1"], "holds '2026-9-1', which"),
        (["Mon, 21 Sep 2026 19:00:00 GMT"], "which as text does not sort by time"),
        (["7c7c12a2-3e4f-4b7a-8d4e-0123456789ab"], "which as text does not sort by time"),
        (["2026-09-01 10:00", "2026-09-02T10:00"], "two forms of ISO 8601"),
        (["2026-10-25T02:30+02:00", "2026-10-25T02:10+01:00"], "two forms of ISO 8601"),
        (["2026-09-01T10:00:00Z", "2026-09-01T10:00:00.5Z"], "two forms of ISO 8601"),
        (["2026-09-01 10:00:00", "2026-09-01 10:00:00Z"], "two forms of ISO 8601"),
        (["2026-09-01", "10"], "holds numbers as text"),
    ],
)
def test_a_bound_that_does_not_sort_by_time_is_refused_before_anything_lands(
    tickets: Sql, values: list[str], says: str
) -> None:
    tickets(*(insert("a", created=value) for value in values))
    with pytest.raises(ValueError, match=r"^fetch.source sqlite:///tickets.db: fetch.since_column ") as error:
        bring("sqlite:///tickets.db", query=SINCE, since_column="created")
    assert says in str(error.value)
    assert "\n" not in str(error.value)
    assert files() == ["tickets.db"]


@pytest.mark.parametrize(
    "values",
    [
        ["2026-09-01", "2026-09-01 10:00", "2026-09-01 10:00:00", "2026-09-01 10:00:00.25", "2026-09-02"],
        ["2026-09-01T10:00:00Z", "2026-09-01T10:00:01Z"],
        ["2026-09-01T10:00+02:00", "2026-09-01T10:01+02:00"],
    ],
)
def test_iso_8601_text_in_one_form_is_a_bound(tickets: Sql, values: list[str]) -> None:
    for number, value in enumerate(values, start=1):
        tickets(insert(f"text {number}", created=value))
        (shown,) = bring("sqlite:///tickets.db", query=SINCE, since_column="created")
        assert shown == f"data/incoming/fetched-000{number}.parquet: 1 rows"


def test_a_form_that_changes_after_the_first_batch_is_refused(tickets: Sql) -> None:
    tickets(insert("a", created="2026-09-01 10:00"))
    bring("sqlite:///tickets.db", query=SINCE, since_column="created")
    tickets(insert("b", created="2026-09-02T10:00"))
    with pytest.raises(ValueError, match="'2026-09-01 10:00' and '2026-09-02T10:00', two forms"):
        bring("sqlite:///tickets.db", query=SINCE, since_column="created")


def test_a_kind_that_changes_after_the_first_batch_is_refused(tickets: Sql) -> None:
    tickets(insert("a"))
    bring("sqlite:///tickets.db", query=SINCE, since_column="created")
    query = "SELECT text, 20260902 AS created FROM tickets WHERE :since IS NULL OR :since < '3'"
    with pytest.raises(ValueError, match=r"is a number now, and was text in data/incoming/fetched-NUMBER"):
        bring("sqlite:///tickets.db", query=query, since_column="created")


def test_batches_whose_bound_does_not_sort_by_time_are_not_continued(tickets: Sql) -> None:
    """Earlier versions made such batches."""
    made = pa.table({"text": ["a"], "label": [1], "created": ["21/09/2026 19:00"]})
    pq.write_table(made, "data/incoming/fetched-0001.parquet")
    tickets(insert("b"))
    with pytest.raises(ValueError, match="holds '21/09/2026 19:00', which as text does not sort by time"):
        bring("sqlite:///tickets.db", query=SINCE, since_column="created")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("sqlite:///missing.db", "there is no database file missing.db"),
        ("oracle+nothing://scott@host/db", "'oracle+nothing' is neither a database that SQLAlchemy knows"),
        ("mysql+pymysql://scott@host/db", "needs the package pymysql, which is not installed"),
        ("postgresql://scott@host:port/db", "not a URL like dialect+driver://user@host:5432/database"),
    ],
)
def test_a_wrong_url_is_one_line_and_makes_no_file(project: Path, url: str, says: str) -> None:
    with pytest.raises(ValueError, match=r"^fetch.source ") as error:
        bring(url, query="SELECT 1")
    assert says in str(error.value)
    assert files() == []


def test_batches_of_another_query_are_not_continued(tickets: Sql) -> None:
    tickets(insert("a"))
    bring("sqlite:///tickets.db", query=SINCE, since_column="created")
    query = "SELECT rowid AS id, text FROM tickets WHERE :since IS NULL OR rowid > :since"
    with pytest.raises(ValueError, match=r"have no column 'id' .* another query; move them away"):
        bring("sqlite:///tickets.db", query=query, since_column="id")


def test_a_fetch_killed_while_it_reads_leaves_no_batch(tickets: Sql) -> None:
    endless = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
        " SELECT i AS text FROM n WHERE :since IS NULL OR i > :since"
    )
    program = (
        "import os; from bertline.fetching.fetch import fetch; from bertline.params.fetch import Params\n"
        f"fetch(Params(source='sqlite:///tickets.db', query={endless!r}, since_column='text', subset=None,"
        " split=None), os.environ.get)"
    )
    reader = subprocess.Popen([sys.executable, "-c", program])
    try:
        while len(list(Path(".bertline/scratch").rglob("*.parquet"))) < 3:
            assert reader.poll() is None
    finally:
        reader.kill()
        reader.wait()
    assert list(Path("data/incoming").iterdir()) == []
    left = {path.stem for path in Path(".bertline/scratch").iterdir()} - {"lock"}
    with scratch_folder() as folder:
        assert {path.stem for path in Path(".bertline/scratch").iterdir()} == {folder.name, "lock"}
    assert left
    assert [path.name for path in Path(".bertline/scratch").iterdir()] == ["lock"]
