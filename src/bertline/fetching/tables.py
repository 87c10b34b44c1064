"""The rows that a query finds, as Parquet files: one snapshot, or one batch after the other.

A query without :since is a snapshot, `fetched.parquet`. With :since it brings batches, `fetched-0001.parquet`
and so on: at first :since is null, then the largest `fetch.since_column` of the batches that are here.

Guarantees that the bytes of a file depend on the rows alone, not on the order a database gives them in;
that a row lies in one batch only, so a query may look back (`>= :since`) for rows that came late; and
memory that does not grow with the rows. A row that was changed is a new row; what was deleted in the
database stays in its batch. Text is compared by its bytes, not by the database's collation.
"""

# ruff: noqa: S608 - the names and paths in the SQL are quoted; DuckDB takes no parameters in their places

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from bertline.fetching import bounds, databases
from bertline.fetching.landing import Landed, land
from bertline.rows import duckdb_query
from bertline.rows.incoming import INCOMING
from bertline.rows.io import write_rows

SNAPSHOT = Path(INCOMING, "fetched.parquet")
_BATCH = re.compile(r"fetched-([0-9]+)")


def fetch_table(url: str, query: str, since_column: str | None) -> list[Landed]:
    """Land what `query` finds in the database at `url`; an empty list if there is nothing new.

    Raises:
        ValueError: as in `databases.select`; a snapshot is empty; a batch does not go with the ones here.
        OSError: as in `databases.select`.
    """
    with duckdb_query.connect() as database, duckdb_query.scratch_folder() as folder, _explained():
        made = folder / "made.parquet"
        if since_column is None:
            found = _store(databases.select(url, query, None), folder)
            if found is None:
                raise ValueError(f"fetch.query finds no rows; {SNAPSHOT} stays as it is")
            rows = _write_sorted(database, found.sql, made)
            return [land(made, SNAPSHOT, f"{rows:,} rows")]
        numbered = _batches()
        batches = list(numbered)
        known = _kind_of_batches(database, batches, since_column)
        found = _store(databases.select(url, query, _largest(database, batches, since_column)), folder)
        if found is None:
            return []
        _check_comparable(database, found, batches, known, since_column)
        rows = _write_sorted(database, _news(found, batches, since_column), made)
        if not rows:
            return []
        number = max(numbered.values(), default=0) + 1
        return [land(made, Path(INCOMING, f"fetched-{number:04}.parquet"), f"{rows:,} rows")]


def _batches() -> dict[Path, int]:
    """Return the batches that are here and their numbers, in that order; 10000 comes after 9999."""
    found = {path: _BATCH.fullmatch(path.stem) for path in Path(INCOMING).glob("fetched-*.parquet")}
    numbers = {path: int(match[1]) for path, match in found.items() if match}
    return dict(sorted(numbers.items(), key=lambda each: (each[1], each[0])))


@dataclass(frozen=True, kw_only=True)
class _Found:
    """The result of a query: its columns, and a SELECT of all its rows from where they are stored."""

    names: list[str]
    sql: str


def _store(tables: Iterable[pa.Table], folder: Path) -> _Found | None:
    """Store tables as they come; None if there are none.

    Each is a file of its own, without the columns that are all null in it: so DuckDB finds the
    type that all values of a column fit into.
    """
    parts: list[Path] = []
    names: list[str] = []
    typed: set[str] = set()
    for table in tables:
        names = table.column_names
        filled = [field.name for field in table.schema if not pa.types.is_null(field.type)]
        if not filled:
            raise ValueError("fetch.query finds rows without any value; exclude them in the query")
        parts.append(folder / f"{len(parts)}.parquet")
        pq.write_table(table.select(filled), parts[-1], compression="zstd")
        typed.update(filled)
    if not parts:
        return None
    columns = (_quote(name) if name in typed else f"NULL::VARCHAR AS {_quote(name)}" for name in names)
    return _Found(names=names, sql=f"SELECT {', '.join(columns)} FROM {_files(parts)}")


def _largest(database: duckdb.DuckDBPyConnection, batches: list[Path], column: str) -> object:
    """Return the largest value of `column` in the batches; None before the first one."""
    if not batches:
        return None
    found = duckdb_query.select_all(database, f"SELECT max({_quote(column)}) FROM {_files(batches)}", {})
    value = found[0][0].as_py()
    return value.astimezone(UTC) if isinstance(value, datetime) and value.tzinfo else value


def _kind_of_batches(database: duckdb.DuckDBPyConnection, batches: list[Path], column: str) -> str | None:
    """Return what kind of bound `column` has in the batches; None if none of them has a value.

    Raises:
        ValueError: they lack the column, or its values do not sort by time: a bound of theirs would be wrong.
    """
    if not batches:
        return None
    if column.lower() not in _columns(batches):
        raise ValueError(
            f"{INCOMING}/fetched-NUMBER.parquet have no column {column!r} (fetch.since_column): they"
            " come from another query; move them away, or name a column they have"
        )
    rows = f"SELECT {_quote(column)} AS since FROM {_files(batches)}"
    return _kind_of(database, rows, column)


def _kind_of(database: duckdb.DuckDBPyConnection, rows: str, column: str) -> str | None:
    """Return what kind of bound the SELECT `rows` holds in its one column `since`; None without any value."""
    one = duckdb_query.select_all(database, f"SELECT since FROM ({rows}) WHERE since IS NOT NULL LIMIT 1", {})
    if not len(one):
        return None
    kind = bounds.kind_of(column, one.schema.field(0).type)
    if kind == bounds.TEXT:
        bounds.require_one_form(database, column, rows)
    return kind


def _check_comparable(
    database: duckdb.DuckDBPyConnection, found: _Found, batches: list[Path], known: str | None, column: str
) -> None:
    """Refuse values of `column` that do not sort by time, alone and together with those of the batches."""
    if column not in found.names:
        raise ValueError(
            f"fetch.since_column is {column!r}; fetch.query has the columns {', '.join(found.names)}"
        )
    rows = f"SELECT {_quote(column)} AS since FROM ({found.sql})"
    kind = _kind_of(database, rows, column)
    if known and kind and kind != known:
        raise ValueError(
            f"fetch.since_column {column!r} is {kind} now, and was {known} in"
            f" {INCOMING}/fetched-NUMBER.parquet; CAST it in fetch.query, or move those files away"
        )
    if batches and kind == bounds.TEXT:
        both = f"{rows} UNION ALL SELECT {_quote(column)} FROM {_files(batches)}"
        bounds.require_one_form(database, column, both)


def _news(found: _Found, batches: list[Path], since_column: str) -> str:
    """Return a SELECT of the rows found that are in none of the batches, by the columns both have."""
    if not batches:
        return found.sql
    known = _columns(batches)
    since = _quote(since_column)
    oldest = f"SELECT min({since}) FROM ({found.sql})"
    # IS NOT FALSE: a row whose bound is null may be in any batch.
    old = f"SELECT * FROM {_files(batches)} WHERE ({since} >= ({oldest})) IS NOT FALSE"
    same = (
        f"new.{_quote(name)} IS NOT DISTINCT FROM old.{_quote(name)}"
        for name in found.names
        if name.lower() in known
    )
    return f"SELECT * FROM ({found.sql}) AS new ANTI JOIN ({old}) AS old ON {' AND '.join(same)}"


def _write_sorted(database: duckdb.DuckDBPyConnection, query: str, path: Path) -> int:
    """Write the rows of `query` in an order that depends on the rows alone; return how many."""
    query = f"SELECT * FROM ({query}) ORDER BY ALL"
    schema = duckdb_query.select_all(database, f"{query} LIMIT 0", {}).schema
    return write_rows(duckdb_query.select(database, query, {}), path, schema)


def _columns(batches: list[Path]) -> set[str]:
    """Return the names of all columns in lower case: DuckDB ignores the case of names."""
    return {name.lower() for batch in batches for name in pq.read_schema(batch).names}


def _files(paths: list[Path]) -> str:
    """Return the rows of Parquet files as DuckDB's FROM names them; a column that one lacks is null there."""
    listed = ", ".join(_string(path.as_posix()) for path in paths)
    return f"read_parquet([{listed}], union_by_name = true)"


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _string(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (duckdb.DataError, duckdb.ProgrammingError) as error:
        raise ValueError(
            "fetch.query has a column with values of incompatible types, in this fetch or compared with"
            f" earlier batches; CAST it in the query ({error})"
        ) from None
    except duckdb.OperationalError as error:
        raise OSError(str(error)) from None  # a full disk
