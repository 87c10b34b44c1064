"""The user's own slices: slices.yaml, a list of names with conditions in SQL over a row's columns.

DuckDB evaluates a condition without access to files, network or settings, on one thread. Guarantees that a
condition that is wrong, that depends on other rows, or that would not give the same rows again, is one
ValueError that names its rule. What shows without rows is found when the file is read.
Does not guarantee that a slice means what its name says.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bertline.rows.extra import extra_column, extra_names
from bertline.rows.io import one_line
from bertline.rows.user_file import read_user_file

if TYPE_CHECKING:
    import duckdb

SECONDS = 60
"""A condition that takes longer is stopped."""

COLUMNS = ("text", "text_pair", "label", "source", "batch", "timestamp")
"""The columns of a row that a condition may name, beside the kept columns."""


_CHANGING = "SELECT function_name FROM duckdb_functions() WHERE stability <> 'CONSISTENT'"
_AGGREGATES = "SELECT function_name FROM duckdb_functions() WHERE function_type = 'aggregate'"


@dataclass(frozen=True)
class Rule:
    """A slice of the user's: the rows for which the condition `where` is true."""

    name: str
    where: str


def read_rules(path: Path) -> list[Rule]:
    """Return the rules of the file `path`, in its order.

    Raises:
        ValueError: the file is missing or no YAML list, an entry is wrong, two have one name, or a condition
            is no expression of SQL or not about one row.
    """
    entries = read_user_file(path, "an empty list, []")
    if entries is not None and not isinstance(entries, list):
        raise ValueError(f"{path} holds no list; allowed: entries with name and where, or []")
    rules = [_rule(entry, f"{path}, entry {number}") for number, entry in enumerate(entries or [], start=1)]
    names = [rule.name for rule in rules]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{path} has two rules named {name!r}; give each its own name")
    if rules:
        with _connect() as database:
            aggregates = {name for (name,) in database.sql(_AGGREGATES).fetchall()}
            for rule in rules:
                _require_one_row(database, rule.where, aggregates, f"{path}, {rule.name!r}")
    return rules


def _rule(entry: object, where: str) -> Rule:
    if not isinstance(entry, dict) or set(entry) != {"name", "where"}:
        raise ValueError(f"{where} is {entry!r}; allowed: a mapping with name and where")
    for key, value in entry.items():
        if not isinstance(value, str) or not value.strip():
            raise ValueError(f"{where}: {key} is {value!r}; allowed: a text")
    return Rule(entry["name"], entry["where"])


def _require_one_row(
    database: "duckdb.DuckDBPyConnection", condition: str, aggregates: set[str], where: str
) -> None:
    """Raise a ValueError if `condition` is no expression, or calls a function over other rows."""
    import duckdb

    try:
        duckdb.SQLExpression(condition)
    except duckdb.Error as error:
        raise ValueError(f"{where}: {one_line(error)}; text stands in single quotes") from None
    [[parsed]] = database.execute("SELECT json_serialize_sql(?)", [f"SELECT {condition}"]).fetchall()
    for kind, name in _calls(json.loads(parsed)):
        if kind == "WINDOW" or name in aggregates:
            called = name.removesuffix("_star") + (" over" if kind == "WINDOW" else "")
            raise ValueError(
                f"{where}: {called} depends on other rows; write a condition on the columns of one row"
            )


def _calls(parsed: object) -> Iterator[tuple[str, str]]:
    """Yield the class and the name of each function call; those of a subquery cannot see other rows."""
    if isinstance(parsed, dict):
        if parsed.get("class") in ("FUNCTION", "WINDOW"):
            yield parsed["class"], parsed["function_name"]
        parsed = [value for key, value in parsed.items() if key != "subquery"]
    if isinstance(parsed, list):
        for each in parsed:
            yield from _calls(each)


def _connect() -> "duckdb.DuckDBPyConnection":
    """Return a database without access to files, network or settings."""
    import duckdb

    settings: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "enable_external_access": False,
        "threads": 1,  # the rows come back in their order
    }
    database = duckdb.connect(config=settings)
    database.execute("SET TimeZone = 'UTC'")
    database.execute("SET lock_configuration = true")
    return database


def matching_rows(rules: Sequence[Rule], rows: pa.Table) -> Iterator[npt.NDArray[np.int64]]:
    """Yield the places, ascending, of those `rows` (a table of `ROW_SCHEMA`) that match each rule.

    A condition that is null for a row, for example because a value is missing, does not match.

    Raises:
        ValueError: a condition is wrong; the message names its rule.
    """
    if not rules:
        return
    with _connect() as database:
        table = _table(rows)
        forbidden = {name for (name,) in database.sql(_CHANGING).fetchall()} - set(table.column_names)
        for rule in rules:
            where = f"slices.yaml, {rule.name!r}"
            if words := _words(rule.where) & forbidden:
                raise ValueError(f"{where}: {min(words)} does not give the same value each time; use columns")
            yield np.flatnonzero(_evaluate(database, table, rule, where))


def _evaluate(
    database: "duckdb.DuckDBPyConnection", table: pa.Table, rule: Rule, where: str
) -> npt.NDArray[np.bool_]:
    import duckdb

    timer = Timer(SECONDS, database.interrupt)
    timer.daemon = True
    timer.start()
    try:
        found = database.from_arrow(table).project(duckdb.SQLExpression(rule.where))
        if [str(kind) for kind in found.types] != ["BOOLEAN"]:
            kinds = ", ".join(map(str, found.types))
            raise ValueError(f"{where}: the condition is of type {kinds}; allowed: one that is true or false")
        column = found.to_arrow_table().column(0)
    except duckdb.InterruptException:
        raise ValueError(f"{where}: the condition took more than {SECONDS} s; make it simpler") from None
    except duckdb.Error as error:
        columns = ", ".join(table.column_names)
        raise ValueError(
            f"{where}: {one_line(error)}; columns: {columns}; text stands in single quotes"
        ) from None
    finally:
        timer.cancel()
    if len(column) != len(table):
        raise ValueError(f"{where}: the condition is not about one row; remove count, sum and the like")
    matches: npt.NDArray[np.bool_] = column.fill_null(False).to_numpy()
    return matches


def _table(rows: pa.Table) -> pa.Table:
    """Return what conditions see: the columns of a row, and each kept column whose name is none of theirs."""
    kept = {name: extra_column(rows, name) for name in extra_names(rows) if name.lower() not in COLUMNS}
    return pa.table({name: rows[name] for name in COLUMNS} | kept)


def _words(condition: str) -> set[str]:
    """Return the words of `condition` outside of its texts, in lower case."""
    return set(re.findall(r"\w+", re.sub(r"'(?:[^']|'')*'", "''", condition.lower())))
