"""The report as a browser shows it: with scripts and without, to hands, keyboard and screen reader."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from bertline.rows.labels import LabelSpace
from bertline.stages.evaluate.report.page import render
from tests.support.browser import browser
from tests.support.evaluation_documents import documents, label_issues, mistakes

__all__ = ["browser"]

EVIL = "</script><img src=x onerror='window.ran = 1'><script>window.ran = 1</script> \u2028 {{ 7 * 7 }}"
PICTURE = bytes.fromhex(  # one pixel
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)

Open = Callable[..., tuple[Page, list[str]]]


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    """Return a function that opens the report: it returns the page, and what this says and asks for."""
    contexts = []

    def open_page(
        label: str = "ham", text: str = "where is it?", **options: object
    ) -> tuple[Page, list[str]]:
        space = LabelSpace(tuple(sorted((label, "spam"))))
        found = mistakes(40, label, text)
        html = render(documents(label, text), space, found, label_issues(label, text), PICTURE)
        (tmp_path / "report.html").write_text(html, encoding="utf-8")
        contexts.append(browser.new_context(**options))  # type: ignore[arg-type]
        contexts[-1].set_default_timeout(10_000)
        page, said = contexts[-1].new_page(), list[str]()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: said.append(request.url[:99]))
        page.goto((tmp_path / "report.html").as_uri())
        if options.get("java_script_enabled", True):
            page.wait_for_selector("html[data-drawn=yes]")
        return page, said

    yield open_page
    for context in contexts:
        context.close()


def rows_shown(page: Page) -> int:
    return page.locator("#mistakes-table tbody tr:visible").count()


def test_with_scripts_off_every_number_and_the_picture_are_visible(show: Open) -> None:
    page, _ = show(java_script_enabled=False)
    assert page.locator("data").count() > 100
    assert page.locator("data:visible").count() == page.locator("data").count()
    assert page.locator("noscript img").is_visible()
    assert not page.locator("form.filter").is_visible()


def test_with_scripts_on_every_chart_is_drawn_and_nothing_is_said_or_asked_for(show: Open) -> None:
    page, said = show()
    assert page.locator("figure.chart svg[role=img]").count() == 6
    (own,) = said
    assert own.startswith("file:")


def test_pointing_at_a_chart_shows_its_numbers(show: Open) -> None:
    page, _ = show()
    page.locator("figure[data-label^=Confusion] .mark-text text").first.hover()
    tooltip = page.locator("#vg-tooltip-element.visible")
    tooltip.wait_for()
    assert "93.2%" in tooltip.inner_text()


def test_dragging_moves_a_chart_and_a_double_click_brings_it_back(show: Open) -> None:
    page, _ = show()
    chart = page.locator("figure[data-label^=Reliability] .plot")
    before = sorted(chart.inner_text().split())
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 160, y + 60, steps=4)
    page.mouse.up()
    assert sorted(chart.inner_text().split()) != before
    page.mouse.dblclick(x, y)
    page.wait_for_timeout(200)
    assert sorted(chart.inner_text().split()) == before


def test_mistakes_are_found_by_words_and_by_class(show: Open) -> None:
    page, _ = show()
    assert rows_shown(page) == 40
    page.get_by_label("Search").fill("IS WHERE 17")
    assert rows_shown(page) == 1
    assert page.locator("form.filter output").inner_text() == "1 of 40 rows shown"
    page.get_by_label("Search").fill("")
    page.locator("form.filter select").select_option("ham")
    assert rows_shown(page) == 40
    page.get_by_label("Search").fill("no such words")
    assert rows_shown(page) == 0


def test_the_keyboard_reaches_the_filter(show: Open) -> None:
    page, _ = show()
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.type") == "search":
            break
    page.keyboard.type("it? 39")
    assert rows_shown(page) == 1


def test_a_hostile_text_runs_nothing_and_asks_for_nothing(show: Open) -> None:
    page, said = show(EVIL, EVIL)
    page.locator("figure[data-label^=Confusion] .mark-text text").first.hover()
    page.locator("#vg-tooltip-element.visible").wait_for()
    page.get_by_label("Search").fill(EVIL)
    assert rows_shown(page) == 40
    assert page.evaluate("window.ran") is None
    assert len(said) == 1


@pytest.mark.parametrize("options", [{"color_scheme": "dark"}, {"viewport": {"width": 390, "height": 800}}])
def test_the_rules_of_accessibility_hold(show: Open, options: dict[str, object]) -> None:
    found = Axe().run(show(**options)[0])
    assert [(each["id"], each["nodes"][0]["html"][:200]) for each in found.response["violations"]] == []
