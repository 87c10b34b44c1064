import re
from typing import Any

from bertline.reporting.markdown import inline
from bertline.stages.evaluate.report.markdown import ROWS, render_markdown
from tests.support.evaluation_documents import documents


def roundings(document: Any) -> set[str]:
    if isinstance(document, dict | list):
        parts = document.values() if isinstance(document, dict) else document
        return set().union(*map(roundings, parts))
    if not isinstance(document, int | float):
        return set()
    return {f"{document:,.0f}", f"{100 * document:.1f}%", f"{100 * document:+.1f}"}


def test_every_number_is_the_rounding_of_one_in_a_document() -> None:
    found = documents()
    shown = re.findall(r"(?<![\w#])[+-]?\d[\d,]*\.?\d*%?", render_markdown(found))
    assert len(shown) > 30
    assert set(shown) - roundings(found) == set()


def test_the_three_sentences_come_first() -> None:
    lines = render_markdown(documents()).splitlines()
    assert lines[2:5] == ["- **Good**: All is good.", "- **Weak**: ham is weak.", "- **Do**: Label more."]


def test_a_text_of_the_data_is_no_markup() -> None:
    evil = "<img src=x> | **bold** `code` [link](http://example.org)"
    page = render_markdown(documents(label=evil, text=evil))
    assert evil not in page
    assert inline(evil) in page
    assert all(line.count(" | ") in {2, 3} for line in page.splitlines() if line.startswith("| "))


def test_many_and_long_names_fit_a_comment() -> None:
    found = documents(label="&" * 500)
    row = found["classes"]["spam"]
    found["classes"] = {f"{place}{'&' * 500}": row for place in range(500)}
    page = render_markdown(found)
    assert len(page) < 65_536
    assert page.count("93.8%") == ROWS


def test_a_table_that_is_cut_says_where_the_others_are() -> None:
    found = documents()
    said = "`report.html` has the others."
    assert said not in render_markdown(found)
    found["classes"] = {f"class {place}": found["classes"]["spam"] for place in range(ROWS + 1)}
    assert render_markdown(found).count(said) == 1
