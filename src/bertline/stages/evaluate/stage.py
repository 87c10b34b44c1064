"""The `evaluate` stage: the candidate and the baseline on the test split, which no other stage reads.

It also lists the test and training rows whose labels look wrong. Rows out of scope are reported apart.
"""

from pathlib import Path

import numpy as np

from bertline.core.params_loading import load_params
from bertline.metrics.predict import predict
from bertline.metrics.predictions import Predictions, read_predictions, write_predictions
from bertline.models.classifier import Answers, Classifier, Texts
from bertline.models.tfidf import load_baseline
from bertline.params.evaluate import Params
from bertline.rows.io import inputs, read_label_space, read_rows
from bertline.rows.labels import in_scope, out_of_scope
from bertline.stages.evaluate.label_issues import list_label_issues
from bertline.stages.evaluate.out_of_scope import count_refusals, write_out_of_scope
from bertline.stages.evaluate.outputs import write_report


def evaluate(
    *,
    test: Path,
    train: Path,
    out_of_fold: Path,
    model: Path,
    baseline: Path,
    training: Path,
    predictions: Path,
    report: Path,
) -> None:
    """Compare the candidate with the baseline on the test rows; write predictions, numbers and report."""
    params = load_params(Params)
    rows = in_scope(read_rows(test))
    candidate, reference, refusals = predict_test_rows(params, test, model, baseline, predictions)
    unseen = read_predictions(out_of_fold / "train.parquet")
    issues = list_label_issues({"test": (candidate, rows), "train": (unseen, in_scope(read_rows(train)))})
    write_report(
        params, rows, candidate, reference, issues, refusals=refusals, training=training, report=report
    )


def predict_test_rows(
    params: Params, test: Path, model: Path, baseline: Path, predictions: Path
) -> tuple[Predictions, Predictions, dict[str, dict[str, float]]]:
    """Return the predictions of the candidate and of the baseline for the test rows in scope, and write both.

    The third is what `count_refusals` returns on the candidate. The other test rows are written apart.

    Raises:
        ValueError: there are no rows, one has a label that was not trained on, or a model cannot be read.
    """
    everything, space = read_rows(test), read_label_space(test)
    rows, others = in_scope(everything), out_of_scope(everything)
    classifier = _Keeping(Classifier(model, threads=params.threads, batch_size=params.batch_size))
    candidate = predict(classifier, rows, space, unknown_labels="error")
    inside = classifier.answers
    reference = predict(load_baseline(baseline), rows, space, unknown_labels="error")
    write_predictions(candidate, predictions / "candidate.parquet")
    write_predictions(reference, predictions / "baseline.parquet")
    classifier.probabilities(inputs(others))
    outside = classifier.answers
    write_out_of_scope(outside, classifier.space, others["id"], predictions)
    return candidate, reference, count_refusals(inside, candidate.right, outside)


class _Keeping:
    """A classifier and its last answers: what it refuses, beside the probabilities that `predict` reads."""

    answers: Answers

    def __init__(self, classifier: Classifier) -> None:
        self._classifier, self.space = classifier, classifier.space

    def probabilities(self, texts: Texts) -> np.ndarray:
        self.answers = self._classifier.answers(texts)
        return self.answers.probabilities
