"""The evaluation as one HTML page that needs no network, no script and no other file.

Guarantees: the same numbers render the same bytes; every text of the data is escaped. Long texts are cut.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bertline.metrics.calibration import BINS
from bertline.metrics.predictions import Predictions
from bertline.metrics.summary import few_rows
from bertline.reporting.environment import cut, render_page
from bertline.stages.evaluate.label_issues import LabelIssues
from bertline.stages.evaluate.plots import drawn
from bertline.stages.evaluate.training_curves import Curves

MISTAKES = 20
ISSUES = 30
CHARACTERS = 280
MODELS = {
    "candidate": "Candidate",
    "candidate_before_calibration": "Candidate before its calibration",
    "baseline": "TF-IDF baseline",
}


@dataclass(frozen=True)
class Mistake:
    """A row whose predicted class is not the expected one, or, as joined labels, whose classes are not."""

    text: str
    expected: str
    predicted: str
    probability: float  # how sure the model was; multi-label: of the wrong decision it was surest of


@dataclass(frozen=True)
class Slice:
    """The rows whose text has `low` to `high` characters."""

    low: int
    high: int
    rows: int
    accuracy: float


def render(
    metrics: dict[str, Any],
    candidate: Predictions,
    texts: Sequence[str],
    issues: LabelIssues,
    png: bytes,
    curves: Curves,
) -> str:
    """Return the page; `texts` [N] belong to the rows of `candidate`, `metrics` is what `summarize` found."""
    names = zip(metrics["classes"], drawn(metrics["classes"]), strict=True)
    numbers = {label: number for label, number in names if number != label}
    return render_page(
        Path(__file__).parent,
        labels=candidate.space.split,
        metrics=metrics,
        few_rows=few_rows(metrics),
        multi_label=candidate.multi_label,
        numbers=numbers,
        classes=sorted(
            metrics["classes"].items(), key=lambda item: (item[1]["support"] == 0, item[1]["f1"], item[0])
        ),
        calibration=[
            (title, metrics["calibration"][name])
            for name, title in MODELS.items()
            if name in metrics["calibration"]
        ],
        bins=BINS,
        picture=base64.b64encode(png).decode("ascii"),
        mistakes=most_confident_mistakes(candidate, texts),
        wrong=int((~candidate.right).sum()),
        slices=slices_by_length(candidate, texts),
        issues=issues,
        found=sum(issues.found.values()),
        doubtful=issues.worst.slice(0, ISSUES).to_pylist(),
        curves=curves,
        characters=CHARACTERS,
    )


def most_confident_mistakes(
    predictions: Predictions, texts: Sequence[str], limit: int = MISTAKES
) -> list[Mistake]:
    """Return the mistakes with the highest probability: where the model, or the label, is most wrong."""
    confidence = predictions.probabilities.max(axis=1)
    if predictions.multi_label:  # of a wrong decision; a right one differs less from what was expected
        confidence = np.abs(predictions.probabilities - predictions.expected).max(axis=1)
    wrong = np.flatnonzero(~predictions.right)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:limit]
    expected, predicted = (
        predictions.space.decode(targets[worst]) for targets in (predictions.expected, predictions.predicted)
    )
    return [
        Mistake(cut(texts[i], CHARACTERS), actual, answer, float(confidence[i]))
        for i, actual, answer in zip(worst, expected, predicted, strict=True)
    ]


def slices_by_length(predictions: Predictions, texts: Sequence[str]) -> list[Slice]:
    """Return up to four slices of the rows by the quartiles of their texts' lengths in characters."""
    lengths = np.array([len(text) for text in texts])
    right = predictions.right
    quartile = np.searchsorted(np.quantile(lengths, [0.25, 0.5, 0.75]), lengths, side="left")
    return [
        Slice(int(lengths[part].min()), int(lengths[part].max()), int(part.sum()), float(right[part].mean()))
        for part in (quartile == i for i in range(4))
        if part.any()
    ]
