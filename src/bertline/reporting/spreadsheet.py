"""Make the cells of an exported CSV safe to open in a spreadsheet.

A spreadsheet runs a cell that begins with one of `=`, `+`, `-`, `@`, a tab or a carriage return as a formula,
quoted or not; such a formula can send other cells to an address. An apostrophe before it makes it text.
Source: OWASP, CSV Injection. Does not guarantee that a program reads the text back as it was: one that is no
spreadsheet sees the apostrophe. A number stays as it is.
"""

import re

import pyarrow as pa
import pyarrow.compute as pc

_FORMULA = r"\A[=+\-@\t\r]"
_NUMBER = r"\A[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\z"


def safe_cell(text: str) -> str:
    """Return `text`, with an apostrophe before it where a spreadsheet would run it as a formula."""
    formula = re.match(_FORMULA, text) and not re.match(_NUMBER.replace(r"\z", r"\Z"), text)
    return f"'{text}" if formula else text


def safe_table(table: pa.Table) -> pa.Table:
    """Return `table` with every string column made safe as by `safe_cell`; nulls stay null."""
    for i, field in enumerate(table.schema):
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            table = table.set_column(i, field.name, _safe_column(table[field.name]))
    return table


def _safe_column(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    number = pc.match_substring_regex(texts, _NUMBER)
    formula = pc.and_not(pc.match_substring_regex(texts, _FORMULA), number)
    return pc.if_else(formula, pc.binary_join_element_wise("'", texts, ""), texts)
