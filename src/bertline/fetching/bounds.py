"""Which values of `fetch.since_column` can be a bound: those whose order is the order in time.

Numbers, dates and time stamps have it. Text is compared by its bytes, and has it only if it is all ISO 8601
in one form. Guarantees that other values are refused before a batch is made of them: with `21/09/2026` as the
bound, no later row would ever be new.
"""

import duckdb
import pyarrow as pa

from bertline.rows import duckdb_query

TEXT = "text"
"""The kind of bound that `require_one_form` must check too."""

_NUMBER = "[-+]?[0-9.]+"
_DATE = "[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_TIME = "[T ]([01][0-9]|2[0-4]):[0-5][0-9](:[0-6][0-9]([.][0-9]+)?)?(Z|[-+][0-9]{2}(:?[0-9]{2})?)?"
_EXAMPLE = "2026-09-21 19:00:00"


def kind_of(column: str, values: pa.DataType) -> str:
    """Return what kind of bound the type of a column makes: values of one kind can be compared.

    Raises:
        ValueError: values of this type are no bound.
    """
    if pa.types.is_integer(values) or pa.types.is_floating(values):
        return "a number"
    if pa.types.is_date(values):
        return "a date"
    if pa.types.is_timestamp(values):
        return "a time stamp with an offset" if values.tz else "a time stamp without an offset"
    if pa.types.is_string(values):
        return TEXT
    raise ValueError(
        f"fetch.since_column {column!r} holds values of the type {values}; a bound is a number, a date, "
        "a time stamp or ISO 8601 text"
    )


def require_one_form(database: duckdb.DuckDBPyConnection, column: str, texts: str) -> None:
    """Refuse text that does not sort by time; `texts` is a SELECT of one column, named `since`.

    Raises:
        ValueError: a value is not ISO 8601, or two values have different forms; the message shows them.
    """
    where = f"FROM ({texts}) WHERE since IS NOT NULL"

    def first(condition: str) -> str | None:
        rows = duckdb_query.select_all(database, f"SELECT min(since) {where} AND {condition}", {})
        value: str | None = rows[0][0].as_py()
        return value

    if (number := first(f"regexp_full_match(since, '{_NUMBER}')")) is not None:
        raise ValueError(
            f"fetch.since_column {column!r} holds numbers as text or decimals, such as {number!r}, where "
            '"9" is above "10"; CAST it to an integer, a float or a time stamp in fetch.query'
        )
    if (other := first(f"NOT regexp_full_match(since, '{_DATE}({_TIME})?')")) is not None:
        raise ValueError(
            f"fetch.since_column {column!r} holds {other!r}, which as text does not sort by time; CAST it to "
            f"a time stamp or a number in fetch.query, or write it as ISO 8601 ({_EXAMPLE})"
        )
    # A date sorts before each of its times. Without an offset, a shorter time sorts before a longer one.
    offset = "regexp_extract(since[11:], '(Z|[-+].*)$')"
    form = f"since[11:11] || {offset} || CASE {offset} WHEN '' THEN '' ELSE length(since)::VARCHAR END"
    forms = f"SELECT min(since) AS since {where} AND length(since) > 10 GROUP BY {form} ORDER BY 1 LIMIT 2"
    examples = duckdb_query.select_all(database, forms, {})["since"].to_pylist()
    if len(examples) > 1:
        raise ValueError(
            f"fetch.since_column {column!r} holds {examples[0]!r} and {examples[1]!r}, two forms of ISO 8601 "
            "that do not sort by time together; CAST it to a time stamp in fetch.query"
        )
