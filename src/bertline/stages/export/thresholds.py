"""When an answer is refused: thresholds set on validation rows, with the file that is served.

Shape suffix: N rows.
Source: Geifman & El-Yaniv, Selective Classification for Deep Neural Networks, NeurIPS 2017: among the answers
that are more probable than a threshold, the precision is bounded from below by its interval.
"""

import numpy as np

from bertline.head.out_of_scope import Kind
from bertline.metrics.classification import correct_rows, predict_classes
from bertline.metrics.intervals import wilson_low
from bertline.metrics.ranking import roc_auc
from bertline.models.abstention import answer_probability, refusals
from bertline.models.classifier import Classifier, Outputs
from bertline.models.folder import Answering, Precision
from bertline.params.export import Params
from bertline.stages.export.validation_rows import ValidationRows

ROUNDING = 1e-6
"""What a threshold of a probability is set lower, so that rounding refuses no row that reached it."""


def set_thresholds(
    classifier: Classifier, precision: Precision, rows: ValidationRows, served: Outputs, params: Params
) -> tuple[Answering, dict[Kind, float]]:
    """Return when an answer is refused, and the AUROC of each out-of-scope score, if there are such rows.

    Args:
        classifier: the model.
        precision: of the file that is served.
        rows: of validation.
        served: the outputs of that file for them.
        params: of the section export.
    """
    inside, probabilities_NC = len(rows.inside), classifier.to_probabilities(served.logits)
    sure_N = answer_probability(probabilities_NC, multi_label=classifier.space.multi_label)[:inside]
    right_N = correct_rows(rows.expected, predict_classes(probabilities_NC[:inside], like=rows.expected))
    lowest = min_probability(
        sure_N, right_N, target_precision=params.target_precision, confidence=params.confidence
    )
    scores = {kind: classifier.out_of_scope(served, kind) for kind in classifier.scores}
    found = {kind: roc_auc(each[inside:], each[:inside]) for kind, each in scores.items() if rows.outside}
    kind = max(found, key=lambda kind: found[kind]) if found else classifier.scores[0]
    highest = max_out_of_scope(scores[kind][:inside], scores[kind][inside:], max_refused=params.max_refused)
    return (
        Answering(precision=precision, score=kind, max_out_of_scope=highest, min_probability=lowest),
        found,
    )


def describe(
    classifier: Classifier, answering: Answering, rows: ValidationRows, served: Outputs, torch: Outputs
) -> dict[str, float | None]:
    """Return what the thresholds do on the validation rows: `export.json` has these numbers.

    `torch`: the outputs of the model in torch. `refusal_flips`: share of rows that one of the two refuses and
    the other does not.
    """
    inside, probabilities_NC = len(rows.inside), classifier.to_probabilities(served.logits)
    refused_N, by_torch_N = (
        refusals(
            answering,
            classifier.to_probabilities(each.logits),
            classifier.out_of_scope(each, answering.score),
            multi_label=classifier.space.multi_label,
        )
        > 0
        for each in (served, torch)
    )
    right_N = correct_rows(rows.expected, predict_classes(probabilities_NC[:inside], like=rows.expected))
    answered_N = ~refused_N[:inside]
    return {
        "answered": float(answered_N.mean()),
        "precision": float(right_N.mean()),
        "precision_of_answered": float(right_N[answered_N].mean()) if answered_N.any() else None,
        "out_of_scope_refused": float(refused_N[inside:].mean()) if rows.outside else None,
        "refusal_flips": float((refused_N != by_torch_N).mean()),
    }


def min_probability(
    confidence_N: np.ndarray, right_N: np.ndarray, *, target_precision: float, confidence: float
) -> float | None:
    """Return the lowest probability from which answers are right often enough; 0 if all are, None if none.

    The lower end of Wilson's interval for their precision must be at least `target_precision`. It speaks of
    one threshold; that the lowest of many is taken makes it a little too sure.

    Args:
        confidence_N: probability of the answer of each row; with several labels a row, of its least sure one.
        right_N: whether the answer is right.
        target_precision: the share of given answers that must be right.
        confidence: of the interval, two-sided.
    """
    order = np.argsort(-confidence_N, kind="stable")
    sorted_N, answered_N = confidence_N[order], np.arange(1, len(order) + 1)
    low_N = wilson_low(right_N[order].cumsum(), answered_N, confidence)
    last_of_equals_N = np.append(sorted_N[1:] < sorted_N[:-1], True)
    fits = np.flatnonzero((low_N >= target_precision) & last_of_equals_N)
    if len(fits) == 0:
        return None
    return 0.0 if fits[-1] == len(order) - 1 else float(sorted_N[fits[-1]]) - ROUNDING


def max_out_of_scope(inside_N: np.ndarray, outside_N: np.ndarray, *, max_refused: float) -> float:
    """Return the score from which on a text is refused as out of scope.

    It lies between two scores of validation, so that rounding refuses none of these rows and spares none.

    Args:
        inside_N: scores of rows with a class.
        outside_N: scores of rows with the label `__out_of_scope__`. If there are any, the threshold has the
            highest mean of two shares: of these that it refuses, and of the others that it does not.
        max_refused: the share of rows with a class that is refused, at most; all of it without other rows.
    """
    candidates = np.unique(np.concatenate([inside_N, outside_N]))
    kept = np.searchsorted(np.sort(inside_N), candidates, side="right") / len(inside_N)
    allowed = kept >= 1 - max_refused
    if len(outside_N) == 0:
        best = int(np.argmax(allowed))
    else:
        spared = np.searchsorted(np.sort(outside_N), candidates, side="right") / len(outside_N)
        best = int(np.argmax(np.where(allowed, kept - spared, -np.inf)))
    return float(candidates[best : best + 2].mean(dtype=np.float64))
