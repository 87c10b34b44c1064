"""The evaluation as one HTML page that needs no network and no other file.

It shows what stands in the JSON documents of reports/evaluation, and texts of mistakes and doubtful labels.
A part whose document is absent is left out. Long texts are cut, and so is the list after `MISTAKES` mistakes.
Guarantees:

- The same documents render the same bytes.
- Every text of the data is escaped, and the page's policy lets only its own two scripts run.
- Without scripts all numbers are there, as tables.
"""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from bertline.metrics.calibration import BINS
from bertline.metrics.summary import few_rows
from bertline.reporting.environment import render_page
from bertline.reporting.interactive import script_json, scripts
from bertline.rows.labels import LabelSpace
from bertline.stages.evaluate.report.charts import draw_charts

MISTAKES = 1000
ISSUES = 30
CHARACTERS = 280
MODELS = {
    "candidate": "Candidate",
    "candidate_before_calibration": "Candidate before its calibration",
    "baseline": "TF-IDF baseline",
}
PARTS = {
    "scores": "Scores",
    "classes": "Classes",
    "confusion_matrix": "Confusion",
    "calibration": "Calibration",
    "slices": "Slices",
    "weak_slices": "Weak slices",
    "behaviour": "Behavioural tests",
    "pinned": "Regression rows",
    "mistakes": "Mistakes",
    "label_issues": "Labels that look wrong",
    "data_checks": "Data checks",
    "refusals": "Refusals",
    "cost": "Cost",
    "training": "Training",
}
"""The parts of the page in their order: the name of each document, and the heading."""


def render(
    documents: Mapping[str, Any], space: LabelSpace, mistakes: pa.Table, issues: pa.Table, png: bytes
) -> str:
    """Return the page.

    Args:
        documents: the JSON files of reports/evaluation, by name without ending.
        space: the classes, and how the labels of a row are written.
        mistakes: text, label, prediction, probability and source of wrongly answered rows, in their order.
        issues: `LabelIssues.worst`.
        png: the picture that stands in for the charts where scripts are off.
    """
    classes = documents["classes"]
    refusals = {name: documents["metrics"].get(name) for name in ("abstention", "out_of_scope")}
    documents = {**documents, "refusals": refusals if any(refusals.values()) else None}
    documents["scores"] = documents.get("scores") or {}
    return render_page(
        Path(__file__).parent,
        documents=documents,
        parts={name: title for name, title in PARTS.items() if documents.get(name) is not None},
        labels=space.split,
        places={label: place for place, label in enumerate(space.classes)},
        multi_label=space.multi_label,
        few_rows=few_rows(documents["metrics"] | {"classes": classes}),
        classes=sorted(classes.items(), key=lambda item: (item[1]["support"] == 0, item[1]["f1"], item[0])),
        models=[(name, title) for name, title in MODELS.items() if name in documents["calibration"]],
        bins=BINS,
        charts={name: (label, script_json(spec)) for name, (label, spec) in draw_charts(documents).items()},
        scripts=scripts(),
        picture=base64.b64encode(png).decode("ascii"),
        mistakes=mistakes.slice(0, MISTAKES).to_pylist(),
        doubtful=issues.slice(0, ISSUES).to_pylist(),
        characters=CHARACTERS,
    )
