"""The `evaluate` stage: the candidate and the baseline on the test split, which no other stage reads.

It also lists the test and training rows whose labels look wrong. Rows out of scope are reported apart.
"""

from pathlib import Path
from typing import Any

from bertline.core.params_loading import load_params
from bertline.metrics.predict import Model, predict
from bertline.metrics.predictions import Predictions, read_predictions, write_predictions
from bertline.models.classifier import Classifier
from bertline.models.tfidf import load_baseline
from bertline.params.evaluate import Params
from bertline.rows.io import read_label_space, read_rows
from bertline.rows.labels import in_scope, out_of_scope
from bertline.stages.evaluate.label_issues import list_label_issues
from bertline.stages.evaluate.out_of_scope import evaluate_out_of_scope
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
    candidate, reference, outside = predict_test_rows(params, test, model, baseline, predictions)
    unseen = read_predictions(out_of_fold / "train.parquet")
    issues = list_label_issues({"test": (candidate, rows), "train": (unseen, in_scope(read_rows(train)))})
    write_report(
        params, rows, candidate, reference, issues, out_of_scope=outside, training=training, report=report
    )


def predict_test_rows(
    params: Params, test: Path, model: Path, baseline: Path, predictions: Path
) -> tuple[Predictions, Predictions, dict[str, Any]]:
    """Return the predictions of the candidate and of the baseline for the test rows in scope, and write both.

    The third is what `evaluate_out_of_scope` returns on the candidate and the other test rows.

    Raises:
        ValueError: there are no rows, one has a label that was not trained on, or a model cannot be read.
    """
    everything, space = read_rows(test), read_label_space(test)
    rows = in_scope(everything)

    def predicted_by(each: Model) -> Predictions:
        return predict(each, rows, space, unknown_labels="error")

    classifier = Classifier(model, threads=params.threads, batch_size=params.batch_size)
    candidate, reference = predicted_by(classifier), predicted_by(load_baseline(baseline))
    write_predictions(candidate, predictions / "candidate.parquet")
    write_predictions(reference, predictions / "baseline.parquet")
    return candidate, reference, evaluate_out_of_scope(classifier, out_of_scope(everything), predictions)
