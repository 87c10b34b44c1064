"""The verdict for machines (verdict.json) and for people (index.html, one file that needs no network).

Guarantees the same bytes for the same verdict: no clock, no path of this machine. Shows counts and
labels, never a text, so that it can be shown around.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bertline.quality.verdict import Outcome, Verdict


def write_report(verdict: Verdict, ingested: Mapping[str, Any], folder: Path) -> None:
    """Write verdict.json and index.html into `folder`, and make it; `ingested` is the report of `ingest`."""
    folder.mkdir(parents=True, exist_ok=True)
    outcomes = [asdict(each) | {"shown": each.shown} for each in verdict.expectations]
    written = asdict(verdict) | {"expectations": outcomes}
    text = json.dumps(written, indent=2, ensure_ascii=False) + "\n"
    (folder / "verdict.json").write_text(text, encoding="utf-8")
    (folder / "index.html").write_text(render(verdict, ingested), encoding="utf-8")


def render(verdict: Verdict, ingested: Mapping[str, Any]) -> str:
    """Return the page on `verdict`; of `ingested` it needs lines_in, duplicates and rows_out."""
    pages = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters["count"] = "{:,}".format
    by_severity: dict[str, list[Outcome]] = {"batch": [], "warn": [], "row": []}
    for outcome in verdict.expectations:
        by_severity[outcome.severity].append(outcome)
    return pages.get_template("report.html.j2").render(
        verdict=verdict,
        ingested=ingested,
        files=ingested.get("files", []),
        stopping=[each.name for each in by_severity["batch"] if not each.passed],
        warned=[each.name for each in by_severity["warn"] if not each.passed],
        classes=next((each.observed for each in verdict.expectations if each.name == "rows_per_class"), {}),
        **by_severity,
    )
