"""Render the HTML pages that stages write: each is one file and needs no network.

A stage has a template `report.html.j2` beside its module, which extends `base.html.j2` here. Guarantees that
every text of the data is escaped, and that a name which a template does not get is an error.
"""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bertline.reporting.marked_numbers import FILTERS


def render_page(stage: Path, **context: Any) -> str:
    """Return the page of the template `report.html.j2` in the folder `stage`.

    Filters: `count` writes thousands with commas; `cut(N)` shortens a text to N characters; those of
    `marked_numbers` write a number so that it can be traced.
    """
    pages = Environment(
        loader=FileSystemLoader([stage, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    pages.filters |= {"count": "{:,}".format, "cut": cut} | FILTERS
    return pages.get_template("report.html.j2").render(context)


def cut(text: str, characters: int) -> str:
    """Return `text`, or its first characters and an ellipsis where it has more than `characters`."""
    return text if len(text) <= characters else f"{text[: characters - 1]}…"
