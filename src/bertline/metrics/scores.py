"""The full set of scores of a model, as scores.json and classes.json have them.

The values come through the project's `evaluate` modules (`huggingface.py`). A score that is made of counts
has an interval, except the mean Jaccard index of rows; a score of an order or of probabilities is a point
value (calibration.json has the intervals of log-loss and Brier score). With one class a row, micro averages
and weighted recall are the accuracy, and macro recall is the balanced accuracy: they are left out.
"""

import tempfile
from functools import cache
from typing import Any, Unpack

from bertline.metrics import huggingface
from bertline.metrics.intervals import Interval, Settings, count_intervals
from bertline.metrics.predictions import Predictions

_Calls = dict[str, tuple[type[huggingface.Module], dict[str, str]]]

_BOTH: _Calls = {
    "accuracy": (huggingface.Accuracy, {}),
    "macro_precision": (huggingface.Precision, {"average": "macro"}),
    "macro_f1": (huggingface.F1, {"average": "macro"}),
    "weighted_precision": (huggingface.Precision, {"average": "weighted"}),
    "weighted_f1": (huggingface.F1, {"average": "weighted"}),
}
_PROBABILITIES: _Calls = {
    "macro_roc_auc": (huggingface.RocAuc, {}),
    "macro_average_precision": (huggingface.AveragePrecision, {}),
    "log_loss": (huggingface.LogLoss, {}),
    "brier": (huggingface.Brier, {}),
}
SINGLE: _Calls = {
    **_BOTH,
    "balanced_accuracy": (huggingface.BalancedAccuracy, {}),
    "mcc": (huggingface.MatthewsCorrelation, {}),
    "kappa": (huggingface.CohenKappa, {}),
    **_PROBABILITIES,
}
SEVERAL: _Calls = {
    **_BOTH,
    "macro_recall": (huggingface.Recall, {"average": "macro"}),
    "weighted_recall": (huggingface.Recall, {"average": "weighted"}),
    "micro_precision": (huggingface.Precision, {"average": "micro"}),
    "micro_recall": (huggingface.Recall, {"average": "micro"}),
    "micro_f1": (huggingface.F1, {"average": "micro"}),
    "hamming_loss": (huggingface.HammingLoss, {}),
    "macro_jaccard": (huggingface.Jaccard, {"average": "macro"}),
    "micro_jaccard": (huggingface.Jaccard, {"average": "micro"}),
    "samples_jaccard": (huggingface.Jaccard, {"average": "samples"}),
    **_PROBABILITIES,
    "micro_roc_auc": (huggingface.RocAuc, {"average": "micro"}),
    "micro_average_precision": (huggingface.AveragePrecision, {"average": "micro"}),
    "label_ranking_average_precision": (huggingface.LabelRanking, {}),
}


def model_scores(predictions: Predictions, **settings: Unpack[Settings]) -> dict[str, float]:
    """Return the scores by name, and the ends of their intervals as NAME_low and NAME_high.

    A score that these rows cannot have is left out: an area under a curve where no class has rows on both
    sides.
    """
    found = count_intervals(predictions.expected, predictions.predicted, len(predictions.classes), **settings)
    numbers: dict[str, float] = {}
    for name, (module, options) in (SEVERAL if predictions.multi_label else SINGLE).items():
        (value,) = _compute(module, predictions, **options).values()
        if value is not None:
            numbers[name] = value
        if name in found:
            numbers |= ends(name, found[name])
    return numbers


def per_class(predictions: Predictions) -> dict[str, dict[str, float]]:
    """Return precision, recall, f1 and support by label, in the order of the classes."""
    columns = _compute(huggingface.PerClass, predictions, n_classes=len(predictions.classes))
    return {
        label: {name: column[i] for name, column in columns.items()}
        for i, label in enumerate(predictions.classes)
    }


def ends(name: str, found: Interval) -> dict[str, float]:
    """Return the ends of an interval as a report names them."""
    return {f"{name}_low": found.low, f"{name}_high": found.high}


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
