from pathlib import Path

import pytest
from jinja2 import UndefinedError

from bertline.reporting.environment import cut, render_page
from tests.support.tiny import PROJECT


def write(folder: Path, content: str) -> None:
    text = (
        '{% extends "base.html.j2" %}{% block title %}T{% endblock %}{% block content %}CONTENT{% endblock %}'
    )
    (folder / "report.html.j2").write_text(text.replace("CONTENT", content))


def test_a_text_of_the_data_is_escaped(tmp_path: Path) -> None:
    write(tmp_path, "{{ text }}")
    assert "&lt;script&gt;" in render_page(tmp_path, text="<script>")


def test_a_name_that_the_page_does_not_get_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, "{{ text }}")
    with pytest.raises(UndefinedError, match="text"):
        render_page(tmp_path)


def test_a_page_holds_its_style_and_asks_for_no_other_file(tmp_path: Path) -> None:
    write(tmp_path, "{{ 12345 | count }}")
    page = render_page(tmp_path)
    assert "--accent" in page
    assert "12,345" in page
    assert not any(part in page for part in ("<script", "<link", "http:", "https:", "url("))


def test_a_long_text_ends_in_an_ellipsis() -> None:
    assert cut("abcdef", 6) == "abcdef"
    assert cut("abcdefg", 6) == "abcde…"


def test_every_page_of_a_stage_has_the_common_look() -> None:
    pages = sorted(PROJECT.glob("src/bertline/stages/**/report.html.j2"))
    assert len(pages) == 3
    for page in pages:
        text = page.read_text()
        assert text.startswith('{% extends "base.html.j2" %}')
        assert "<style" not in text
