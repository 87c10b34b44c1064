"""The result for machines (verdict.json) and for people (index.html, one file that needs no network).

Guarantees the same bytes for the same verdict: no clock, no path of this machine. Shows counts,
labels and times, never a text, so people may share it.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bertline.core.files import write_json
from bertline.reporting.environment import render_page
from bertline.stages.validate.result import Outcome, ValidationResult


def write_report(verdict: ValidationResult, ingested: Mapping[str, Any], folder: Path) -> None:
    """Write verdict.json and index.html into `folder`, and make it; `ingested` is the report of `ingest`."""
    folder.mkdir(parents=True, exist_ok=True)
    outcomes = [asdict(each) | {"shown": each.shown} for each in verdict.expectations]
    reasons = [asdict(each) | {"command": each.command} for each in verdict.reasons]
    written = asdict(verdict) | {"expectations": outcomes, "reasons": reasons}
    write_json(folder / "verdict.json", written)
    (folder / "index.html").write_text(render(verdict, ingested), encoding="utf-8")


def render(verdict: ValidationResult, ingested: Mapping[str, Any]) -> str:
    """Return the page on `verdict`; of `ingested` it needs lines_in, duplicates and rows_out."""
    by_severity: dict[str, list[Outcome]] = {"batch": [], "warn": [], "row": []}
    for outcome in verdict.expectations:
        by_severity[outcome.severity].append(outcome)
    return render_page(
        Path(__file__).parent,
        verdict=verdict,
        ingested=ingested,
        files=ingested.get("files", []),
        unused_keys=ingested.get("label_map_unused", []),
        stopping=[each.name for each in by_severity["batch"] if not each.passed],
        warned=[each.name for each in by_severity["warn"] if not each.passed],
        classes=next((each.observed for each in verdict.expectations if each.name == "rows_per_class"), {}),
        **by_severity,
    )
