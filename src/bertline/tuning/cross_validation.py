"""k-fold cross-validation: how good the settings are, for data whose test split has too few rows.

Each row of the data is tested once, by a model that was trained without it: on the folds that are neither its
own nor the one after, which chooses the epoch. Every fold is a DVC experiment, fold-I-of-K.

Scores are those of all rows together, not means over folds: a mean of macro-F1 over folds is
biased where a fold has few rows of a class (Forman & Scholz, Apples-to-Apples in Cross-Validation Studies,
SIGKDD Explorations 12(1), 2010). The intervals cover other rows. They do not cover that k models share
training rows; no unbiased estimate of that exists (Bengio & Grandvalet, JMLR 5, 2004).
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np

from bertline.core.files import write_json
from bertline.core.params_loading import load_params
from bertline.metrics.intervals import Metric
from bertline.metrics.predictions import Predictions, read_predictions
from bertline.metrics.summary import summarize
from bertline.params.evaluate import Params as Evaluate
from bertline.params.ingest import Params as Ingest
from bertline.params.split import Params as Split
from bertline.project.layout import BASELINE_PREDICTIONS, CANDIDATE_PREDICTIONS, METRICS
from bertline.tuning.worktree import Job, Worktree

CROSS_VALIDATION = Job("cross_validation", upstream="validate", target="evaluate")
PREDICTIONS = {"candidate": CANDIDATE_PREDICTIONS, "baseline": BASELINE_PREDICTIONS}


def check_folds(folds: int) -> None:
    """Raise a ValueError if the rows of the current folder cannot be split into so many folds."""
    test_source = load_params(Ingest).test_source
    if test_source is not None:
        raise ValueError(
            f"ingest.test_source is {test_source}, so every fold would be tested on the same rows; to have "
            "them in the folds, name these files in ingest.source and set ingest.test_source to null"
        )
    try:
        replace(load_params(Split), folds=folds, fold=0)
    except ValueError as error:
        raise ValueError(f"split.{error}") from None


def cross_validate(worktree: Worktree, folds: int, report: Callable[[str], None]) -> dict[str, Any]:
    """Train and test once for each fold; return the numbers of each fold, and of all rows together.

    `report` gets a line a fold.

    Raises:
        ValueError: a fold failed; the message is that of its stage.
    """
    found: dict[str, list[Predictions]] = {model: [] for model in PREDICTIONS}
    numbers = []
    for fold in range(folds):
        start = time.monotonic()
        name = f"fold-{fold}-of-{folds}"
        try:
            ran = worktree.run(name, {"split.folds": folds, "split.fold": fold})
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        for model, path in PREDICTIONS.items():
            found[model].append(read_predictions(worktree.checkout / path))
        scores = json.loads((worktree.checkout / METRICS).read_text("utf-8"))
        own = {model: {metric: scores[model][metric] for metric in get_args(Metric)} for model in PREDICTIONS}
        numbers.append({"fold": fold, "rows": scores["rows"], **own})
        took = f"{(time.monotonic() - start) / 60:.1f} minutes" if ran else "cached"
        report(f"{name}: {_shown(own['candidate'])} (baseline {_shown(own['baseline'])}), {took}")
    params = load_params(Evaluate, worktree.checkout / "params.yaml")
    metrics = summarize(
        pooled(found["candidate"]),
        pooled(found["baseline"]),
        resamples=params.resamples,
        confidence=params.confidence,
        seed=params.seed,
    )
    return {"folds": numbers, **metrics}


def pooled(folds: Sequence[Predictions]) -> Predictions:
    """Return the predictions of all `folds`, over the classes of any, one after the other."""
    classes = sorted({label for each in folds for label in each.classes})
    aligned = [each.over(classes) for each in folds]
    return Predictions(
        ids=[row for each in aligned for row in each.ids],
        classes=tuple(classes),
        expected=np.concatenate([each.expected for each in aligned]),
        probabilities=np.concatenate([each.probabilities for each in aligned]),
    )


def write(metrics: dict[str, Any], path: Path) -> None:
    """Write what `cross_validate` returned, as JSON."""
    path.parent.mkdir(exist_ok=True)
    write_json(path, metrics)


def _shown(numbers: dict[str, float]) -> str:
    return f"accuracy {numbers['accuracy']:.3f}, macro-F1 {numbers['macro_f1']:.3f}"
