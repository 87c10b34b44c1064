"""The metrics of a classifier as Hugging Face `evaluate` modules without network or cache files.

`evaluate.load("accuracy")` downloads a script; these modules ship with the project and do the same with
scikit-learn. Anything that takes an `evaluate.Metric` takes them. As in the modules of `evaluate` itself,
`config_name="multilabel"` takes rows of 0s and 1s, one for each class, instead of class indices. Importing
`evaluate` costs about ten seconds, so nothing else in the project does it.
"""

import tempfile
from typing import Any

import evaluate
import numpy as np
from datasets import Features, Sequence, Value
from sklearn import metrics

from bertline.evaluation.calibration import calibration_error, log_loss
from bertline.evaluation.predictions import Predictions


class _ClassMetric(evaluate.Metric):  # type: ignore[misc]  # evaluate ships no types
    """A metric of integer class predictions and references; the docstring of the subclass describes it."""

    def _info(self) -> evaluate.MetricInfo:
        multi_label = self.config_name == "multilabel"
        target = Sequence(Value("int64")) if multi_label else Value("int64")
        return evaluate.MetricInfo(
            description=self.__doc__,
            citation="Pedregosa et al., Scikit-learn: Machine Learning in Python, JMLR 12, 2011.",
            inputs_description="predictions and references: a class index per row, or the 0s and 1s of a row",
            features=Features({"predictions": target, "references": target}),
            format=None if multi_label else "numpy",  # evaluate allows "numpy" for single values only
        )


class Accuracy(_ClassMetric):
    """Share of rows whose class is right; multi-label: whose labels are all right (subset accuracy)."""

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        return {"accuracy": float(metrics.accuracy_score(references, predictions))}


class MacroF1(_ClassMetric):
    """Mean F1 of the classes that occur in the references; 0 where no row has a label."""

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        targets = np.asarray(references)
        present = np.flatnonzero(targets.any(axis=0)) if targets.ndim == 2 else np.unique(targets)
        if len(present) == 0:
            return {"macro_f1": 0.0}
        f1 = metrics.f1_score(references, predictions, labels=present, average="macro", zero_division=0)
        return {"macro_f1": float(f1)}


class MicroF1(_ClassMetric):
    """F1 over all rows and labels together; where every row has a single label, it is the accuracy."""

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        return {
            "micro_f1": float(metrics.f1_score(references, predictions, average="micro", zero_division=0))
        }


class MatthewsCorrelation(_ClassMetric):
    """Multi-class Matthews correlation coefficient: 1 is perfect, 0 is no better than the class shares."""

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        return {"mcc": float(metrics.matthews_corrcoef(references, predictions))}


class PerClass(_ClassMetric):
    """Precision, recall, F1 and number of rows of each class 0 .. n_classes - 1; 0 where undefined."""

    def _compute(self, predictions: Any, references: Any, n_classes: int) -> dict[str, list[float]]:
        columns = metrics.precision_recall_fscore_support(
            references, predictions, labels=range(n_classes), zero_division=0
        )
        names = ("precision", "recall", "f1", "support")
        return {name: column.tolist() for name, column in zip(names, columns, strict=True)}


def scores(predictions: Predictions) -> dict[str, float]:
    """Return accuracy, macro_f1, mcc (multi-label: micro_f1), log_loss and calibration_error."""
    found: dict[str, float] = {}
    for metric in (Accuracy, MacroF1, MicroF1 if predictions.multi_label else MatthewsCorrelation):
        found |= _compute(metric, predictions)
    found["log_loss"] = log_loss(predictions.expected, predictions.probabilities)
    found["calibration_error"] = calibration_error(predictions.expected, predictions.probabilities)
    return found


def per_class(predictions: Predictions) -> dict[str, dict[str, float]]:
    """Return precision, recall, f1 and support by label, in the order of the classes."""
    columns = _compute(PerClass, predictions, n_classes=len(predictions.classes))
    return {
        label: {name: column[i] for name, column in columns.items()}
        for i, label in enumerate(predictions.classes)
    }


def _compute(metric: type[_ClassMetric], predictions: Predictions, **options: Any) -> dict[str, Any]:
    # Even with keep_in_memory the constructor makes its cache folder, by default under the user's home.
    with tempfile.TemporaryDirectory() as scratch:
        name = "multilabel" if predictions.multi_label else "default"
        module = metric(config_name=name, keep_in_memory=True, cache_dir=scratch)
        result: dict[str, Any] = module.compute(
            predictions=predictions.predicted, references=predictions.expected, **options
        )
    return result
