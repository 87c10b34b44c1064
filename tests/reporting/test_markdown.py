import html
import re

import pytest
from markdown_it import MarkdownIt

from bertline.reporting.markdown import inline, table

TEXTS = [
    "a | b \\| c \\",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "**bold** _slanted_ `code` ~~struck~~ ``` fence",
    "[link](javascript:alert(1)) ![picture](http://a.example/x.png) <http://b.example>",
    "# heading --- - item > quote 1. one",
    "&lt; &#124; &amp;",
    "http://a.example www.b.example c@d.example :smile:",
    "$x$ $$y$$",
    "שלום עולם 😀 你好",
]


def rendered(text: str) -> str:
    return str(MarkdownIt("gfm-like", {"linkify": False}).render(table(["a", "b"], [[text, "end"]])))


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_shown_as_it_is_in_one_cell(text: str) -> None:
    cells = re.findall(r"<td>(.*?)</td>", rendered(text))
    assert [html.unescape(cell) for cell in cells] == [text, "end"]


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_makes_no_tag(text: str) -> None:
    assert set(re.findall(r"</?(\w+)", rendered(text))) == {"table", "thead", "tbody", "tr", "th", "td"}


def test_lines_of_a_text_become_one() -> None:
    assert inline("first\n---\r\nsecond\u2028third\x00") == "first --- second third"


def test_characters_that_turn_the_direction_are_left_out() -> None:
    assert inline("\u202eabc\u2069") == "abc"


def test_an_address_is_no_link_without_markup() -> None:
    assert not re.search(r"://|www\.|@|:\w+:", inline(TEXTS[6]))


def test_what_is_markdown_already_stays() -> None:
    assert inline(inline("a|b")) == "a&#124;b"
