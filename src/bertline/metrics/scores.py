"""The full set of scores of a model, as scores.json and classes.json have them.

A score that is made of counts has an interval; a score of an order or of probabilities is a point value, and
so is the mean Jaccard index of rows (calibration.json has the intervals of log-loss and Brier score). With
one class a row, micro averages and weighted recall are the accuracy, and macro recall is the balanced
accuracy: they are left out. Point values come through the `evaluate` modules of `huggingface.py`, which cover
the same functions for all other scores, too.
"""

import tempfile
from functools import cache
from typing import Any, Unpack

from bertline.metrics import huggingface
from bertline.metrics.intervals import Settings, count_intervals
from bertline.metrics.predictions import Predictions

_Calls = dict[str, tuple[type[huggingface.Module], dict[str, str]]]

SAME = {"macro_recall", "weighted_recall", "micro_precision", "micro_recall", "micro_f1"}
"""With one class a row they are the accuracy or the balanced accuracy."""
POINTS: _Calls = {
    "macro_roc_auc": (huggingface.RocAuc, {}),
    "macro_average_precision": (huggingface.AveragePrecision, {}),
    "log_loss": (huggingface.LogLoss, {}),
    "brier": (huggingface.Brier, {}),
}
POINTS_OF_SEVERAL: _Calls = {
    **POINTS,
    "samples_jaccard": (huggingface.Jaccard, {"average": "samples"}),
    "micro_roc_auc": (huggingface.RocAuc, {"average": "micro"}),
    "micro_average_precision": (huggingface.AveragePrecision, {"average": "micro"}),
    "label_ranking_average_precision": (huggingface.LabelRanking, {}),
}


def model_scores(predictions: Predictions, **settings: Unpack[Settings]) -> dict[str, float]:
    """Return the scores by name, and the ends of their intervals as NAME_low and NAME_high.

    A score that these rows cannot have is left out: an area under a curve where no class has rows on both
    sides.
    """
    several = predictions.multi_label
    numbers: dict[str, float] = {}
    found = count_intervals(predictions.expected, predictions.predicted, len(predictions.classes), **settings)
    for name, interval in found.items():
        if several or name not in SAME:
            numbers |= interval.named(name)
    for name, (module, options) in (POINTS_OF_SEVERAL if several else POINTS).items():
        (value,) = _compute(module, predictions, **options).values()
        if value is not None:
            numbers[name] = value
    return numbers


def per_class(predictions: Predictions) -> dict[str, dict[str, float]]:
    """Return precision, recall, f1 and support by label, in the order of the classes."""
    columns = _compute(huggingface.PerClass, predictions, n_classes=len(predictions.classes))
    return {
        label: {name: column[i] for name, column in columns.items()}
        for i, label in enumerate(predictions.classes)
    }


def _compute(module: type[huggingface.Module], predictions: Predictions, **options: Any) -> dict[str, Any]:
    config = "multilabel" if predictions.multi_label else "default"
    metric = _metric(module, config)  # type: ignore[arg-type]  # evaluate ships no types
    said = predictions.probabilities if metric.reads_probabilities else predictions.predicted
    rows = {metric.said: said, "references": predictions.expected}
    result: dict[str, Any] = metric.compute(**rows, **options)
    return result


@cache
def _metric(module: type[huggingface.Module], config: str) -> huggingface.Module:
    # Even with keep_in_memory the constructor makes its cache folder, by default under the user's home.
    with tempfile.TemporaryDirectory() as scratch:
        return module(config_name=config, keep_in_memory=True, cache_dir=scratch)
