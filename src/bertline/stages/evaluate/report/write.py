"""What a person reads of the evaluation: conclusions.json, report.html and report.md.

Guarantees that a number on a page stands in a JSON document beside it: the pages are made of these files, and
of the texts in mistakes.parquet and of the doubtful labels. Two tables for `dvc plots` are made of them too.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from bertline.core.files import write_json
from bertline.metrics.predictions import Predictions
from bertline.reporting.spreadsheet import safe_table
from bertline.stages.evaluate import mistakes
from bertline.stages.evaluate.label_issues import LabelIssues
from bertline.stages.evaluate.report.conclusions import conclude
from bertline.stages.evaluate.report.markdown import render_markdown
from bertline.stages.evaluate.report.page import MISTAKES, render


def write_pages(candidate: Predictions, issues: LabelIssues, report: Path) -> None:
    """Write the pages from what the other parts wrote into the folder `report`; print the conclusions."""
    wrong = int((~candidate.right).sum())
    worst = pq.read_table(report / mistakes.FILE)
    counts = {"wrong": wrong, "listed": len(worst), "shown": min(wrong, MISTAKES)}
    write_json(report / "mistakes.json", counts)
    documents = read_documents(report)
    documents["conclusions"] = conclude(documents)
    write_json(report / "conclusions.json", documents["conclusions"])
    png = (report / "evaluation.png").read_bytes()
    page = render(documents, candidate.space, worst, issues.worst, png)
    (report / "report.html").write_text(page, encoding="utf-8")
    (report / "report.md").write_text(render_markdown(documents), encoding="utf-8")
    _write_plot_tables(documents, report)
    for name in ("good", "weak", "do"):
        print(f"{name:5}{documents['conclusions'][name]}")


def read_documents(report: Path) -> dict[str, Any]:
    """Return the JSON documents of the folder by name, without ending."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(report.glob("*.json"))}


def _write_plot_tables(documents: Mapping[str, Any], report: Path) -> None:
    """Write reliability.csv and slices.csv for `dvc plots`, which mixes up the lists of a JSON document."""
    tables = {"reliability": pa.Table.from_pylist(documents["reliability"]["candidate"])}
    if slices := documents.get("slices", {}).get("slices"):
        names = [f"{each['group']}: {each['name']}" for each in slices]
        accuracy = [each["accuracy"] for each in slices]
        tables["slices"] = safe_table(pa.table({"slice": names, "accuracy": accuracy}))
    for name, table in tables.items():
        pyarrow.csv.write_csv(table, report / f"{name}.csv")
