"""The comparison as one HTML page, and its numbers as JSON beside it.

Guarantees: the page shows what the document has, and computes nothing; it needs no script and no network;
every text of the data is escaped. Long texts are cut.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bertline.core.files import replacing, write_json
from bertline.reporting.environment import render_page

CHARACTERS = 280
_FIRST = ("worse", "better", "not shown")


def render(document: Mapping[str, Any]) -> str:
    """Return the page of a document of `compare.compare`."""
    parts = {"classes": "class", "slices": "slice", "behaviour": "behaviour"}
    found = document["differences"]
    tables = {name: _sorted(each for each in found if each["kind"] == kind) for name, kind in parts.items()}
    level = 1 - document["confidence"]
    return render_page(Path(__file__).parent, **document, **tables, level=level, characters=CHARACTERS)


def _sorted(differences: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return what is worse first, then what is better; within each the clearest first."""
    return sorted(differences, key=lambda each: (_FIRST.index(each["verdict"]), each["q_value"]))


def write_page(document: Mapping[str, Any], path: Path) -> None:
    """Write the page to `path`, and the document as JSON beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path.with_suffix(".json"), document)
    with replacing(path) as new:
        new.write_text(render(document), encoding="utf-8")


def page_name(a: str, b: str) -> str:
    """Return the name of the page of two models by their names, which may be paths."""
    return "-".join(re.sub(r"[^\w.]+", "_", name).strip("._") for name in (a, b)) + ".html"
