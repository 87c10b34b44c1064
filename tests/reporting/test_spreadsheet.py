import pyarrow as pa
import pytest

from bertline.reporting.spreadsheet import safe_cell, safe_table

FORMULAS = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "=", "-5\n=1"]
PLAIN = ["", "a=b", "-5", "+3.5", "-1e-9", "'quoted", " =1", "ünïcode"]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_cell_that_a_spreadsheet_would_run_becomes_text(text: str) -> None:
    assert safe_cell(text) == "'" + text


@pytest.mark.parametrize("text", PLAIN)
def test_any_other_cell_and_a_number_stay(text: str) -> None:
    assert safe_cell(text) == text


def test_a_column_becomes_what_its_cells_become() -> None:
    texts = [*FORMULAS, *PLAIN, None]
    found = safe_table(pa.table({"text": texts, "score": [-float(i) for i in range(len(texts))]}))
    assert found["text"].to_pylist() == [None if text is None else safe_cell(text) for text in texts]
    assert found["score"].to_pylist() == [-float(i) for i in range(len(texts))]
