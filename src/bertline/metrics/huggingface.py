"""The scores of this folder as Hugging Face `evaluate` modules, without network and cache files.

`evaluate.load("accuracy")` downloads a script; these modules ship with the project, as thin covers of the
plain functions. Everything that takes an `evaluate.Metric` takes them. As in the modules of `evaluate`
itself, `config_name="multilabel"` takes rows of 0s and 1s, one for each class, instead of class indices.
Importing `evaluate` takes about ten seconds, so nothing else in the project does it.
"""

from typing import Any, Literal

import evaluate
import numpy as np
from datasets import Features, Sequence, Value

from bertline.metrics import calibration, count_scores, ranking


class Module(evaluate.Metric):  # type: ignore[misc]  # evaluate ships no types
    """A score of integer references and predictions; the docstring of the subclass describes it."""

    reads_probabilities = False

    @property
    def said(self) -> str:
        """The name of the input that holds what a model said."""
        return "prediction_scores" if self.reads_probabilities else "predictions"

    def _info(self) -> evaluate.MetricInfo:
        several = self.config_name == "multilabel"
        target = Sequence(Value("int64")) if several else Value("int64")
        scores = self.reads_probabilities
        return evaluate.MetricInfo(
            description=self.__doc__,
            citation="Pedregosa et al., Scikit-learn: Machine Learning in Python, JMLR 12, 2011.",
            inputs_description=f"{self.said} and references: "
            + ("probabilities [C] and " if scores else "")
            + "a class index per row, or the 0s and 1s of a row",
            features=Features(
                {self.said: Sequence(Value("float64")) if scores else target, "references": target}
            ),
            format=None if several or scores else "numpy",  # evaluate allows "numpy" for single values only
        )

    def compute(self, **rows: Any) -> Any:
        """Return the score. NumPy arrays skip the Arrow file of `evaluate`: 50 s a million rows."""
        if all(isinstance(rows.get(name), np.ndarray) for name in (self.said, "references")):
            return self._compute(**rows)
        return super().compute(**rows)


class _CountModule(Module):
    """A score that is made of counts, by its name in `count_scores`; `average` is a part of some names."""

    score: str

    def _compute(self, predictions: Any, references: Any, average: str | None = None) -> dict[str, float]:
        targets, predicted = np.asarray(references), np.asarray(predictions)
        several = targets.ndim == 2
        width = targets.shape[1] if several else int(max(targets.max(), predicted.max())) + 1
        name = self.score if average is None else f"{average}_{self.score}"
        scores = count_scores.SEVERAL if several else count_scores.SINGLE
        return {self.score: float(scores[name](count_scores.totals(targets, predicted, width)))}


class Accuracy(_CountModule):
    """Share of rows whose class is correct; multi-label: whose labels are all correct (subset accuracy)."""

    score = "accuracy"


class BalancedAccuracy(_CountModule):
    """Mean recall of the classes that occur in the references."""

    score = "balanced_accuracy"


class Precision(_CountModule):
    """Precision: `average` is macro (classes that occur in the references), weighted or micro."""

    score = "precision"


class Recall(_CountModule):
    """Recall: `average` is macro (classes that occur in the references), weighted or micro."""

    score = "recall"


class F1(_CountModule):
    """F1: `average` is macro (classes that occur in the references), weighted or micro."""

    score = "f1"


class MatthewsCorrelation(_CountModule):
    """Multi-class Matthews correlation coefficient: 1 is perfect, 0 is no better than the class shares."""

    score = "mcc"


class CohenKappa(_CountModule):
    """Cohen's kappa: the agreement of class and prediction beyond that of independent answers."""

    score = "kappa"


class HammingLoss(_CountModule):
    """Multi-label: share of the decisions, label or not, that are wrong."""

    score = "hamming_loss"


class Jaccard(_CountModule):
    """Multi-label: labels in both sets by labels in either; `average` is macro, micro or samples."""

    score = "jaccard"

    def _compute(self, predictions: Any, references: Any, average: str | None = None) -> dict[str, float]:
        if average != "samples":
            return super()._compute(predictions, references, average)
        return {"jaccard": ranking.mean_jaccard(np.asarray(references), np.asarray(predictions))}


class PerClass(Module):
    """Precision, recall, F1 and number of rows of each class 0 .. n_classes - 1; 0 where undefined."""

    def _compute(self, predictions: Any, references: Any, n_classes: int) -> dict[str, list[float]]:
        return count_scores.scores_by_class(np.asarray(references), np.asarray(predictions), n_classes)


class _ProbabilityModule(Module):
    """A score of probabilities."""

    reads_probabilities = True


class RocAuc(_ProbabilityModule):
    """Area under the ROC curve: `average` is macro (one class against the rest) or, multi-label, micro."""

    function = staticmethod(ranking.roc_auc)
    score = "roc_auc"

    def _compute(
        self, prediction_scores: Any, references: Any, average: Literal["macro", "micro"] = "macro"
    ) -> dict[str, float | None]:
        over = ranking.one_vs_rest if average == "macro" else ranking.micro
        return {self.score: over(self.function, np.asarray(references), np.asarray(prediction_scores))}


class AveragePrecision(RocAuc):
    """Area under the precision-recall curve: `average` is macro (one class against the rest) or micro."""

    function = staticmethod(ranking.average_precision)
    score = "average_precision"


class LogLoss(_ProbabilityModule):
    """Mean negative log-likelihood in nats; multi-label: the mean over the labels of a row too."""

    def _compute(self, prediction_scores: Any, references: Any) -> dict[str, float]:
        return {"log_loss": calibration.log_loss(np.asarray(references), np.asarray(prediction_scores))}


class Brier(_ProbabilityModule):
    """Mean squared distance of probabilities and truth, over the classes of a row."""

    def _compute(self, prediction_scores: Any, references: Any) -> dict[str, float]:
        return {"brier": calibration.brier(np.asarray(references), np.asarray(prediction_scores))}


class LabelRanking(_ProbabilityModule):
    """Multi-label: label ranking average precision."""

    def _compute(self, prediction_scores: Any, references: Any) -> dict[str, float]:
        rows = np.asarray(references), np.asarray(prediction_scores)
        return {"label_ranking": ranking.label_ranking_average_precision(*rows)}
