"""Fetching from a real PostgreSQL server: properties that need one."""

# ruff: noqa: S608 - the SQL is made of what stands in this file

import json
import re
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import sqlalchemy

from tests.support.fetched import SNAPSHOT, Sql, bring, rows
from tests.support.postgresql import ENCODED
from tests.support.tiny import PEAK_MEMORY, PROJECT


@pytest.fixture
def warehouse(project: Path, postgres: int, monkeypatch: pytest.MonkeyPatch) -> Sql:
    """Run statements in PostgreSQL, whose URL is in WAREHOUSE_URL."""
    url = f"postgresql://owner:{ENCODED}@127.0.0.1:{postgres}/postgres"
    monkeypatch.setenv("WAREHOUSE_URL", url)
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)

    def run(*statements: str) -> None:
        with engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    run(
        "DROP TABLE IF EXISTS tickets",
        "CREATE TABLE tickets (id serial, text text, label text, at timestamptz)",
    )
    return run


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("timestamptz", ["2026-09-01 10:00+02", "2026-09-01 08:00:01+00"]),
        ("timestamp", ["2026-09-01 10:00", "2026-09-01 10:00:00.000001"]),
        ("date", ["2026-09-01", "2026-09-02"]),
        ("integer", ["9", "10"]),
        ("bigint", ["9", "99999999999"]),
        ("text", ["2026-09-01T10:00", "2026-09-01T10:00:01"]),
        ("double precision", ["9.5", "10.25"]),
    ],
)
def test_batches_from_postgresql_continue_whatever_the_type_of_the_column(
    warehouse: Sql, kind: str, values: list[str]
) -> None:
    """At first the bound is null, for which PostgreSQL knows no type; then it is of the column's."""
    warehouse(f"ALTER TABLE tickets ADD COLUMN moment {kind}", "SET TIME ZONE 'Asia/Tokyo'")
    query = "SELECT text, moment FROM tickets WHERE (:since IS NULL OR moment > :since)"
    for number, value in enumerate(values, start=1):
        literal = value.replace("'", "''").replace("%", "%%")
        warehouse(f"INSERT INTO tickets (text, moment) VALUES ('text {number}', '{literal}')")
        (shown,) = bring("env:WAREHOUSE_URL", query=query, since_column="moment")
        assert shown == f"data/incoming/fetched-000{number}.parquet: 1 rows"
        assert bring("env:WAREHOUSE_URL", query=query, since_column="moment") == []


def documented_query() -> str:
    """Return the query of docs/data.md that looks back."""
    (query,) = re.findall(
        r"query: (SELECT [^`]*? interval '7 days'\))", (PROJECT / "docs/data.md").read_text()
    )
    return " ".join(query.split())


@pytest.mark.parametrize("cast", ["CAST(:since AS timestamptz)", ":since::timestamptz"])
def test_the_documented_look_back_runs_on_postgresql(warehouse: Sql, cast: str) -> None:
    query = documented_query().replace("CAST(:since AS timestamptz)", cast)
    assert cast in query
    warehouse(
        "DROP TABLE tickets",
        "CREATE TABLE tickets (subject text, body text, queue text, created_at timestamptz)",
    )

    def add(subject: str, created_at: str) -> None:
        warehouse(f"INSERT INTO tickets VALUES ('{subject}', 'b', 'q', '{created_at}')")

    add("first", "2026-09-10 10:00+02")
    bring("env:WAREHOUSE_URL", query=query, since_column="created_at")
    add("late", "2026-09-04 10:00+02")
    add("too late", "2026-09-03 09:59+02")
    add("newest", "2026-09-11 10:00+02")
    bring("env:WAREHOUSE_URL", query=query, since_column="created_at")
    assert {row[0] for row in rows("data/incoming/fetched-0002.parquet")} == {"late", "newest"}


def test_types_of_postgresql_arrive_as_what_ingest_can_read(warehouse: Sql) -> None:
    query = """SELECT 1::bigint AS i, true AS b, 0.10::numeric AS n, date '2026-09-01' AS d, 1.5::float8 AS f,
        timestamp '2026-09-01 10:00' AS t, timestamptz '2026-09-01 10:00+02' AS z,
        '{"b": [1], "a": "é"}'::jsonb AS j, '{7c7c12a2-3e4f-4b7a-8d4e-0123456789ab}'::uuid AS u,
        ARRAY['x', 'y'] AS a, 12345678901234567890::numeric AS h"""
    bring("env:WAREHOUSE_URL", query=query)
    ((i, b, n, d, f, t, z, j, u, a, h),) = rows(SNAPSHOT)
    assert (i, b, n, d, f) == (1, True, "0.10", date(2026, 9, 1), 1.5)
    assert (t, z) == (datetime(2026, 9, 1, 10), datetime(2026, 9, 1, 8, tzinfo=UTC))
    assert (json.loads(j), json.loads(a)) == ({"a": "é", "b": [1]}, ["x", "y"])
    assert (u, h) == ("7c7c12a2-3e4f-4b7a-8d4e-0123456789ab", "12345678901234567890")
    assert str(pq.read_schema(SNAPSHOT).field("z").type) == "timestamp[us, tz=UTC]"


def test_memory_stays_flat_while_postgresql_streams(warehouse: Sql) -> None:
    """DuckDB may take what it is given; here little, so that it is not all that is seen."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); from tests.support.fetched import bring\n"
        "from bertline.rows import duckdb_query; duckdb_query.MEMORY = '200MB'\n"
        'query = "SELECT i AS id, repeat(md5(i::text), 10) AS text FROM generate_series(1, 1200000) i"\n'
        "bring('env:WAREHOUSE_URL', query=query)\n"
        f"print({PEAK_MEMORY} // 1024)"
    )
    command = [sys.executable, "-c", program, str(PROJECT)]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert pq.read_metadata(SNAPSHOT).num_rows == 1_200_000
    assert int(shown.split()[-1]) < 1_500  # MB: some 570 on a quiet machine, above 2,000 were all rows held


def test_a_wrong_query_on_postgresql_is_the_users_mistake(warehouse: Sql) -> None:
    for query, says in [
        ("SELECT * FROM nowhere", 'fetch.query is wrong: relation "nowhere" does not exist'),
        ("SELECT missing FROM tickets", 'fetch.query is wrong: column "missing" does not exist'),
        ("SELECT 1 / 0", "fetch.query is wrong: division by zero"),
    ]:
        with pytest.raises(ValueError, match=r"^fetch.source env:WAREHOUSE_URL: ") as error:
            bring("env:WAREHOUSE_URL", query=query)
        assert str(error.value).endswith(says)


def test_nothing_is_written_to_the_database(warehouse: Sql) -> None:
    bring("env:WAREHOUSE_URL", query="SELECT setval('tickets_id_seq', 1) AS n")
    with pytest.raises(ValueError, match=r"must be a SELECT|is wrong"):
        bring("env:WAREHOUSE_URL", query="INSERT INTO tickets (text) VALUES ('x')")
    assert bring("env:WAREHOUSE_URL", query="SELECT count(*) AS n FROM tickets")
    assert rows(SNAPSHOT) == [(0,)]
