"""The verdict for machines (verdict.json) and for people (index.html, one file that needs no network).

Guarantees the same bytes for the same verdict: no clock, no path of this machine. Shows counts and
labels, never a text, so that it can be shown around.
"""

import json
from dataclasses import asdict
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bertline.quality.suite import Verdict


def write_report(verdict: Verdict, folder: Path) -> None:
    """Write verdict.json and index.html into `folder`, and make it."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(asdict(verdict), indent=2, ensure_ascii=False) + "\n"
    (folder / "verdict.json").write_text(text, encoding="utf-8")
    (folder / "index.html").write_text(render(verdict), encoding="utf-8")


def render(verdict: Verdict) -> str:
    """Return the page on `verdict`."""
    loader = FileSystemLoader(Path(__file__).parent)
    pages = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return pages.get_template("report.html.j2").render(
        verdict=verdict,
        batch=[each for each in verdict.expectations if each.severity == "batch"],
        row=[each for each in verdict.expectations if each.severity == "row"],
        classes=next((each.observed for each in verdict.expectations if each.name == "rows_per_class"), {}),
    )
