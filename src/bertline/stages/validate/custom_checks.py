"""The user's own expectations: expectations.yaml.

Guarantees that every entry becomes one rule, or a ValueError names the entry and says what is allowed.
Whether its arguments suit the data (a regular expression that is none) shows when it is evaluated.
"""

import difflib
from datetime import date
from pathlib import Path
from typing import Any

import great_expectations.expectations as gxe
from great_expectations.expectations.expectation import ColumnMapExpectation, Expectation

from bertline.core.bounds import is_date, parse_date
from bertline.rows.schema import ROW_SCHEMA
from bertline.rows.user_file import read_user_file
from bertline.stages.validate.great_expectations import Check

KEYS = ("name", "severity", "expect", "allowed")
SEVERITIES = ("row", "warn", "batch")
NOT_ARGUMENTS = ("batch_id", "row_condition", "condition_parser")  # a condition reads columns we do not see

# Their result for a row depends on other rows, or they have no result for single rows.
_NOT_OF_ONE_ROW = {
    "column_value_z_scores_to_be_less_than",
    "column_values_to_be_decreasing",
    "column_values_to_be_in_type_list",
    "column_values_to_be_increasing",
    "column_values_to_be_of_type",
    "column_values_to_be_unique",
    "column_values_to_not_be_outliers",
}


def read_expectations(path: Path) -> list[Check]:
    """Return the rules of the file `path`, in its order.

    Raises:
        ValueError: the file is missing or no YAML list, or an entry is wrong.
    """
    entries = read_user_file(path, "an empty list, []")
    if entries is not None and not isinstance(entries, list):
        raise ValueError(
            f"{path} holds no list; allowed: entries with {', '.join(KEYS)} and arguments, or []"
        )
    return [_rule(entry, f"{path}, entry {number}") for number, entry in enumerate(entries or [], start=1)]


def row_expectations() -> list[str]:
    """Return the names that `expect` may have where the severity is `row`."""
    return [
        name
        for name, kind in _core().items()
        if issubclass(kind, ColumnMapExpectation) and name not in _NOT_OF_ONE_ROW
    ]


def _core() -> dict[str, Any]:
    """Return the core expectations by their name in snake case, without "expect_"."""
    kinds = [getattr(gxe, name) for name in sorted(dir(gxe)) if name.startswith("Expect")]
    return {kind.expectation_type.removeprefix("expect_"): kind for kind in kinds if kind.expectation_type}


def _rule(entry: object, where: str) -> Check:
    if not isinstance(entry, dict):
        raise ValueError(f"{where} is {entry!r}; allowed: a mapping with {', '.join(KEYS)} and arguments")
    where = f"{where} ({entry.get('name', 'no name')})"
    for key in KEYS:
        if not isinstance(entry.get(key), str) or not entry[key]:
            raise ValueError(f"{where}: {key} is {entry.get(key)!r}; allowed: some text")
    if not entry["name"].isidentifier():
        raise ValueError(f"{where}: name is {entry['name']!r}; allowed: letters, digits and underscores")
    if entry["severity"] not in SEVERITIES:
        raise ValueError(f"{where}: severity is {entry['severity']!r}; allowed: {', '.join(SEVERITIES)}")
    arguments = {key: value for key, value in entry.items() if key not in KEYS}
    _check_columns(arguments, where)
    kind = _kind(entry["expect"], entry["severity"], where)
    _check_arguments(arguments, entry["severity"], where)
    left_out = {*Expectation.__fields__, *NOT_ARGUMENTS, *(["mostly"] if entry["severity"] == "row" else [])}
    allowed = ", ".join(name for name in kind.__fields__ if name not in left_out)
    if entry.get("column") == "timestamp":
        arguments = {name: _moment(value) for name, value in arguments.items()}
    try:
        expectation = kind(**arguments)
    except (ValueError, TypeError) as error:
        # The first line counts the errors, the second names the argument, the third says what is wrong.
        wrong = " ".join(line.strip() for line in str(error).splitlines()[1:3])[:300]
        raise ValueError(f"{where}: {wrong}; {entry['expect']} takes {allowed}") from None
    column = arguments.get("column")
    return Check(
        name=entry["name"],
        column=column,
        severity=entry["severity"],
        allowed=entry["allowed"],
        expectation=expectation,
    )


def _moment(value: object) -> object:
    """Return what a date stands for in a column of time stamps, as Great Expectations reads it."""
    if isinstance(value, date):  # as YAML reads a date without quotes
        value = value.isoformat()
    return parse_date(value).isoformat() if isinstance(value, str) and is_date(value) else value


def _check_columns(arguments: dict[str, Any], where: str) -> None:
    named = [arguments.get(key) for key in ("column", "column_A", "column_B")]
    several = arguments.get("column_list")
    named += several if isinstance(several, list) else []
    for column in named:
        if column is not None and column not in ROW_SCHEMA.names:
            raise ValueError(
                f"{where}: there is no column {column!r}; allowed: {', '.join(ROW_SCHEMA.names)}"
            )


def _check_arguments(arguments: dict[str, Any], severity: str, where: str) -> None:
    for name in NOT_ARGUMENTS:
        if name in arguments:
            raise ValueError(f"{where}: {name} is not supported; remove it")
    for name, value in arguments.items():
        if isinstance(value, dict) and "$PARAMETER" in value:
            raise ValueError(f"{where}: {name} is a $PARAMETER, which is not supported; give a value")
    if severity == "row" and "mostly" in arguments:
        raise ValueError(f"{where}: mostly says nothing of one row; remove it")


def _kind(expect: str, severity: str, where: str) -> Any:
    core = _core()
    if expect.startswith("table_column"):
        raise ValueError(
            f"{where}: {expect} says nothing: the columns are always {', '.join(ROW_SCHEMA.names)}"
        )
    if expect not in core:
        near = difflib.get_close_matches(expect, core, n=3, cutoff=0.4)
        allowed = "a core expectation of Great Expectations without its expect_"
        hint = f", e.g. {', '.join(near)}" if near else ""
        raise ValueError(f"{where}: expect is {expect!r}; allowed: {allowed}{hint}")
    if severity == "row" and expect not in (of_rows := row_expectations()):
        raise ValueError(
            f"{where}: {expect} does not judge single rows; set severity to warn or batch,"
            f" or expect to one of: {', '.join(of_rows)}"
        )
    return core[expect]
