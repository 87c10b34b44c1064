"""The scores of `classification.py` as Hugging Face `evaluate` modules, without network and cache files.

`evaluate.load("accuracy")` downloads a script; these modules ship with the project. Everything that takes an
`evaluate.Metric` takes them. As in the modules of `evaluate` itself, `config_name="multilabel"` takes rows of
0s and 1s, one for each class, instead of class indices. Importing `evaluate` takes about ten seconds, so
nothing else in the project does it.
"""

import tempfile
from typing import Any

import evaluate
import numpy as np
from datasets import Features, Sequence, Value

from bertline.metrics import classification
from bertline.metrics.predictions import Predictions


class _ClassMetric(evaluate.Metric):  # type: ignore[misc]  # evaluate ships no types
    """A metric of integer class predictions and references; the docstring of the subclass describes it."""

    def _info(self) -> evaluate.MetricInfo:
        several = self.config_name == "multilabel"
        target = Sequence(Value("int64")) if several else Value("int64")
        return evaluate.MetricInfo(
            description=self.__doc__,
            citation="Pedregosa et al., Scikit-learn: Machine Learning in Python, JMLR 12, 2011.",
            inputs_description="predictions and references: a class index per row, or the 0s and 1s of a row",
            features=Features({"predictions": target, "references": target}),
            format=None if several else "numpy",  # evaluate allows "numpy" for single values only
        )


class Accuracy(_ClassMetric):
    """Share of rows whose class is correct; multi-label: whose labels are all correct (subset accuracy)."""

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        return {"accuracy": classification.accuracy(np.asarray(references), np.asarray(predictions))}


class MacroF1(_ClassMetric):
    """Mean F1 of the classes that occur in the references; 0 where no row has a label."""

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        return {"macro_f1": classification.macro_f1(*_arrays(predictions, references))}


class MicroF1(_ClassMetric):
    """F1 over all rows and labels together; where every row has a single label, it is the accuracy."""

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        return {"micro_f1": classification.micro_f1(*_arrays(predictions, references))}


class MatthewsCorrelation(_ClassMetric):
    """Multi-class Matthews correlation coefficient: 1 is perfect, 0 is no better than the class shares."""

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        return {"mcc": classification.matthews_correlation(*_arrays(predictions, references))}


class PerClass(_ClassMetric):
    """Precision, recall, F1 and number of rows of each class 0 .. n_classes - 1; 0 where undefined."""

    def _compute(self, predictions: Any, references: Any, n_classes: int) -> dict[str, list[float]]:
        return classification.scores_by_class(np.asarray(references), np.asarray(predictions), n_classes)


def _arrays(predictions: Any, references: Any) -> tuple[Any, Any, int]:
    """Return targets, predictions and the number of classes."""
    targets, predicted = np.asarray(references), np.asarray(predictions)
    width = targets.shape[1] if targets.ndim == 2 else int(max(targets.max(), predicted.max())) + 1
    return targets, predicted, width


def more_scores(predictions: Predictions) -> dict[str, float]:
    """Return mcc, or with several labels a row micro_f1."""
    metric = MicroF1 if predictions.multi_label else MatthewsCorrelation
    return _compute(metric, predictions)


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
