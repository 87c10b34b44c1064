import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import pytest

from bertline.reporting.interactive import script_json
from bertline.rows.labels import LabelSpace
from bertline.stages.evaluate.report.page import CHARACTERS, MISTAKES, PARTS, render
from tests.support.evaluation_documents import documents, label_issues, mistakes
from tests.support.page_text import Piece, pieces

EVIL = "<script>alert('x')</script> <img src=x onerror=alert(1)> & \"quoted\" \u2028"
PLAIN = LabelSpace(("ham", "spam"))
PROSE = {"2020", "2021", "90", "100", "95", "50", "F1", "0"}
"""Numbers of the explanations, which are the same on every page."""


def page(found: dict[str, Any] | None = None, label: str = "ham", text: str = "where is it?") -> str:
    found = found or documents(label, text)
    space = LabelSpace((label, "spam"))
    return render(found, space, mistakes(3, label, text), label_issues(label, text), b"png")


def numbers_in(document: Any) -> set[float]:
    if isinstance(document, dict | list):
        inner = document.values() if isinstance(document, dict) else document
        lengths = {float(len(document))}
        return lengths.union(*map(numbers_in, inner))
    return {float(document)} if isinstance(document, int | float) else set()


def texts_in(document: Any) -> set[str]:
    if isinstance(document, dict):
        return set(document).union(*map(texts_in, document.values()))
    if isinstance(document, list):
        return set().union(*map(texts_in, document))
    return {" ".join(document.split())} if isinstance(document, str) else set()


def roundings(value: float) -> set[str]:
    forms = {f"{value:,.{digits}f}" for digits in (0, 1, 3, 4)}
    return forms | {f"{100 * value:.{digits}f}%" for digits in (0, 1)} | {f"{100 * value:+.1f}"}


def untraced(found: dict[str, Any], html: str) -> list[Piece]:
    """The pieces of the page with a number that stands in no document."""
    rows = [*mistakes().to_pylist(), *label_issues().to_pylist()]
    numbers, texts = numbers_in([found, rows]), texts_in([found, rows])
    texts |= {" ".join(heading.split()) for heading in PARTS.values()}

    def traced(piece: Piece) -> bool:
        if piece.tag == "data":
            value = float(piece.value or "nan")
            return value in numbers and piece.text in roundings(value)
        said = piece.text
        for text in sorted(texts, key=len, reverse=True):
            said = said.replace(text, "") if len(text) > 2 else said
        return set(re.findall(r"F1|\d[\d.,]*\d|\d", said)) <= PROSE

    return [piece for piece in pieces(html) if not traced(piece)]


def test_every_number_of_the_page_is_the_rounding_of_one_in_a_document() -> None:
    found = documents()
    assert untraced(found, page(found)) == []


@pytest.mark.parametrize(
    "change", [("94.1%", "94.2%"), ("1,234", "1,235"), ("The weakest first", "The weakest of 6")]
)
def test_a_number_that_stands_in_no_document_is_noticed(change: tuple[str, str]) -> None:
    found = documents()
    assert untraced(found, page(found).replace(*change)) != []


def test_every_part_that_is_there_is_shown_and_no_other() -> None:
    found = documents()
    optional = ("scores", "slices", "weak_slices", "behaviour", "pinned", "data_checks", "cost", "confused")
    html = page({name: part for name, part in found.items() if name not in optional})
    headings = [piece.text for piece in pieces(html) if piece.tag == "h2"]
    assert "Slices" not in headings
    assert "Calibration" in headings
    full = [piece.text for piece in pieces(page()) if piece.tag == "h2"]
    assert [heading for heading in full if heading in PARTS.values()] == list(PARTS.values())


def test_a_list_that_is_cut_says_so() -> None:
    def text(html: str) -> str:
        return " ".join(" ".join(piece.text for piece in pieces(html)).split())

    found = documents()
    whole = page(found)
    found["slices"]["slices"] *= 50
    found["confused"]["pairs_found"] = 1177
    found["data_checks"] |= {"shortcuts_found": 2179}
    cut = page(found)
    for says in (
        "Accuracy of the first slices with their intervals, and of all rows; the table has every slice",
        "Those with the most rows of 1,177 pairs.",
        "The clearest of 2,179 :",
    ):
        assert says in text(cut)
        assert says not in text(whole)
    assert "; mistakes.csv beside this page has 17 . " in text(whole)
    assert untraced(found, cut) == []


def test_the_three_sentences_come_before_every_number() -> None:
    texts = [piece.text for piece in pieces(page())]
    places = [texts.index(text) for text in ("All is good.", "ham is weak.", "Label more.")]
    assert places == sorted(places)
    assert places[-1] < texts.index("93.4%")


def test_texts_and_labels_are_escaped() -> None:
    html = page(label=EVIL, text=EVIL)
    assert html.count("<script") == page().count("<script")
    assert "<img src=x" not in html
    assert html.count("&lt;script&gt;") > 10


def test_no_text_ends_the_json_of_a_script() -> None:
    found = script_json({"text": f"{EVIL}</script>"})
    assert not re.search("[<>&\u2028]", found)
    assert json.loads(found) == {"text": f"{EVIL}</script>"}


def test_the_page_needs_no_network() -> None:
    links: list[str] = []

    class Links(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            links.extend(value or "" for name, value in attrs if name in {"src", "href", "srcset"})

    html = page()
    Links().feed(html)
    assert [link for link in links if not link.startswith(("#", "data:image/png;base64,"))] == []
    assert "default-src &#39;none&#39;" in html
    assert "unsafe-eval" not in html


def test_the_page_is_the_same_every_time() -> None:
    assert page() == page()


def test_headings_go_down_one_level_at_a_time() -> None:
    levels = [int(level) for level in re.findall("<h([1-6])", page())]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_every_header_of_a_table_says_what_it_is_the_header_of() -> None:
    html = page()
    assert html.count("<th ") > 50
    assert not re.search(r"<th(?! scope=)[ >]", html)


def test_a_page_of_many_long_mistakes_stays_under_three_megabytes() -> None:
    many = mistakes(MISTAKES + 500, text="ä" * 5000)
    html = render(documents(), PLAIN, many, label_issues(text="ä" * 5000), b"png")
    assert len(html.encode()) < 3_000_000
    assert html.count("<tr data-classes") == MISTAKES
    assert max(map(len, re.findall("ä{20,}…?", html))) == CHARACTERS


def test_labels_of_a_row_with_several_are_tags_of_their_own() -> None:
    space = LabelSpace(("ham", "spam"), multi_label=True)
    html = render(documents(), space, mistakes(1, "ham\x1fspam"), label_issues("", "text"), b"png")
    assert "\x1f" not in html
    assert '<span class="quiet">none</span>' in html
    assert re.search(r'<span class="tag">ham</span>\s+<span class="tag">spam</span>', html)
    assert "Exact match" in html


def test_the_sentences_about_refusals_are_apart() -> None:
    found = documents()
    assert re.search(r"these answers are\s+right\. <data", page(found))
    del found["metrics"]["out_of_scope"]
    assert re.search(r"these answers are\s+right\. No test row is out of scope", page(found))


def test_a_class_without_test_rows_has_dashes_and_the_page_says_why() -> None:
    found = documents()
    found["classes"]["spam"] = dict.fromkeys(("precision", "recall", "f1", "support"), 0.0)
    html = page(found)
    assert html.count(3 * '<td class="n">\N{EN DASH}</td>') == 1
    assert "A label without rows has no F1" in html
    assert "A label without rows has no F1" not in page()


def test_the_page_says_which_parts_saw_a_sample_of_the_rows() -> None:
    found = documents()
    said = re.sub("<[^>]*>", "", " ".join(page(found).split()))
    assert "on a sample of 300 of the 1,234 test rows." in said
    assert "a sample of 2,345 of the 5,678 training rows" in said
    found["weak_slices"] |= {"rows": 1234, "of_rows": 98765}
    assert "of a sample of 1,234 of the 98,765 test rows in all" not in said
    said = re.sub("<[^>]*>", "", " ".join(page(found).split()))
    assert "of a sample of 1,234 of the 98,765 test rows in all" in said
