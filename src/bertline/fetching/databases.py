"""Stream the rows that a query finds, from any database that SQLAlchemy has a driver for.

Guarantees that only `CHUNK` rows are held at once, through a cursor on the server where the driver has
one, and that nothing is written to the database. A value keeps its type where Parquet and `ingest` know
it (text, integer, truth value, float, date, time stamp); JSON becomes JSON text and anything else, such
as a decimal, its text. A time stamp with an offset is converted to UTC; one without an offset stays as it is.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from bertline.params.fetch import SINCE

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, TextClause

CHUNK = 16_384
"""Rows held at once: their texts may be long."""

_PACKAGES = {"MySQLdb": "mysqlclient", "psycopg2": "psycopg2-binary"}
"""Module of a database driver: the package to install, where it has another name."""
_INT64 = range(-(2**63), 2**63)
_KINDS: Mapping[frozenset[type], pa.DataType] = {
    frozenset(types): kind
    for types, kind in [
        ((str,), pa.string()),
        ((bool,), pa.bool_()),
        ((int,), pa.int64()),
        ((float,), pa.float64()),
        ((int, float), pa.float64()),
        ((date,), pa.date32()),
    ]
}


def select(url: str, query: str, since: object) -> Iterator[pa.Table]:
    """Yield what `query` finds in the database at `url`, at most `CHUNK` rows a table; `since` is its :since.

    The type of a column is that of its values in this table; a column of nulls has the type null.

    Raises:
        ValueError: the URL, the query or a type of its columns is wrong.
        OSError: the database is down, refuses the log-in, or fails.
    """
    engine = _engine(url)
    try:
        with _connected(engine) as connection, _explained():
            result = connection.execution_options(yield_per=CHUNK).execute(_statement(query, since))
            if not result.returns_rows:
                raise ValueError("fetch.query returns no rows: it must be a SELECT")
            names = list(result.keys())
            _require_distinct(names)
            for rows in result.partitions(CHUNK):
                columns = zip(*rows, strict=True)
                yield pa.table([_array(*each) for each in zip(columns, names, strict=True)], names)
    finally:
        engine.dispose()


def _require_distinct(names: list[str]) -> None:
    """Refuse equal names, also names that differ only in case: DuckDB reads these as one column."""
    if len(set(names)) < len(names):
        raise ValueError(f"fetch.query has two columns of the same name among {', '.join(names)}; use AS")
    if len({name.casefold() for name in names}) < len(names):
        raise ValueError(
            f"fetch.query has two columns whose names differ only in case, among {', '.join(names)}; use AS"
        )


def _engine(url: str) -> "Engine":
    import sqlalchemy
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    try:
        parsed = sqlalchemy.make_url(url)
    except (ArgumentError, ValueError):  # without their message: it may repeat a piece of the URL
        raise ValueError("not a URL like dialect+driver://user@host:5432/database") from None
    try:
        # No echo and no parameters in messages: what passes to and from a database is not for logs.
        engine = sqlalchemy.create_engine(parsed, echo=False, hide_parameters=True)
    except NoSuchModuleError:
        raise ValueError(
            f"{parsed.drivername!r} is neither a database that SQLAlchemy knows (such as postgresql, mysql,"
            " sqlite) nor a file store that fsspec knows (such as s3, gs, https)"
        ) from None
    except ModuleNotFoundError as error:
        package = _PACKAGES.get(error.name or "", error.name)
        raise ValueError(
            f"{parsed.drivername} needs the package {package}, which is not installed; run:"
            f" pip install {package}"
        ) from None
    file = parsed.database if parsed.get_backend_name() == "sqlite" else None
    if file and not file.startswith("file:") and not Path(file).is_file():  # SQLite would make an empty one
        raise ValueError(f"there is no database file {file}")
    return engine


def _statement(query: str, since: object) -> "TextClause":
    """Return the query with `since` in the place of :since, and with every other colon unchanged.

    `since` becomes a literal, which SQLAlchemy quotes: PostgreSQL cannot tell the type of a null or text
    parameter in `:since is null` ("type of parameter 1 does not match that when preparing the plan"). The
    literal is in brackets, because SQLAlchemy does not find `:since` in `:since::timestamp` without them.
    """
    from sqlalchemy import bindparam, text

    escaped = re.sub(r"(?<![:\w\\]):(?=\w)(?!since\b)", r"\\:", query)
    if not SINCE.search(query):
        return text(escaped)
    return text(SINCE.sub("(:since)", escaped)).bindparams(bindparam("since", since, literal_execute=True))


@contextmanager
def _connected(engine: "Engine") -> Iterator["Connection"]:
    """Connect; what a SELECT should not have changed is rolled back at the end."""
    try:
        connection = engine.connect()
    except Exception as error:  # each driver has its own ways to say no
        raise OSError(f"cannot connect: {_reason(error)}") from None
    with connection:
        if connection.dialect.name == "sqlite":  # whose driver commits a DROP TABLE at once
            connection.exec_driver_sql("PRAGMA query_only = ON")
        yield connection


@contextmanager
def _explained() -> Iterator[None]:
    """Raise ValueError for a wrong query, OSError for a failing database."""
    import sqlite3

    from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError, OperationalError, SQLAlchemyError

    try:
        yield
    except DBAPIError as error:
        failing = isinstance(error, InterfaceError | InternalError | OperationalError)
        # SQLite files a missing table, and a query that writes, under "operational" too.
        wrong = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_READONLY)
        wrong_sql = getattr(error.orig, "sqlite_errorcode", None) in wrong
        if failing and not wrong_sql:
            raise OSError(f"the database failed: {_reason(error)}") from None
        raise ValueError(f"fetch.query is wrong: {_reason(error)}") from None
    except SQLAlchemyError as error:
        raise ValueError(f"fetch.query cannot be run: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """Return what the driver said; PostgreSQL's excerpt with a caret makes no sense on one line."""
    return str(getattr(error, "orig", None) or error).partition("\nLINE ")[0]


def _array(values: Sequence[Any], name: str) -> pa.Array:
    """Return a column of the query as an Arrow array."""
    types = frozenset(map(type, values)) - {type(None)}
    if not types:
        return pa.nulls(len(values))
    if types & {bytes, bytearray, memoryview}:
        raise ValueError(f"column {name!r} of fetch.query holds bytes; convert it to text in the query")
    if types == {datetime}:
        return _times(values)
    kind = _KINDS.get(types)
    if kind == pa.int64() and not all(value is None or value in _INT64 for value in values):
        kind = None
    if kind is None:
        return pa.array([None if value is None else _text(value) for value in values], pa.string())
    return pa.array(values, kind)


def _times(values: Sequence[datetime | None]) -> pa.Array:
    offsets = {value.tzinfo is not None for value in values if value is not None}
    if offsets == {False}:
        return pa.array(values, pa.timestamp("us"))
    aware = (value if value is None or value.tzinfo else value.replace(tzinfo=UTC) for value in values)
    return pa.array(list(aware), pa.timestamp("us", "UTC"))


def _text(value: object) -> str:
    match value:
        case bool() | dict() | list():
            return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
        case Decimal():
            return f"{value:f}"
        case date():
            return value.isoformat(" ") if isinstance(value, datetime) else value.isoformat()
    return str(value)
