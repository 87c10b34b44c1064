"""The `evaluate` stage: the candidate and the baseline on the test split, which no other stage reads.

It also lists the test and training rows whose labels look wrong.
"""

from pathlib import Path

from bertline.core.params_loading import load_params
from bertline.metrics.predict import Model, predict
from bertline.metrics.predictions import Predictions, read_predictions, write_predictions
from bertline.models.bert import Classifier
from bertline.models.tfidf import load_baseline
from bertline.params.evaluate import Params
from bertline.rows.io import read_label_space, read_rows
from bertline.stages.evaluate.label_issues import list_label_issues
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
    rows = read_rows(test)
    candidate, reference = predict_test_rows(params, test, model, baseline, predictions)
    unseen = read_predictions(out_of_fold / "train.parquet")
    issues = list_label_issues({"test": (candidate, rows), "train": (unseen, read_rows(train))})
    write_report(params, rows, candidate, reference, issues, training=training, report=report)


def predict_test_rows(
    params: Params, test: Path, model: Path, baseline: Path, predictions: Path
) -> tuple[Predictions, Predictions]:
    """Return the predictions of the candidate and of the baseline for the test rows, and write both.

    Raises:
        ValueError: there are no rows, one has a label that was not trained on, or a model cannot be read.
    """
    rows, space = read_rows(test), read_label_space(test)

    def predicted_by(each: Model) -> Predictions:
        return predict(each, rows, space, unknown_labels="error")

    candidate = predicted_by(Classifier(model, threads=params.threads, batch_size=params.batch_size))
    reference = predicted_by(load_baseline(baseline))
    write_predictions(candidate, predictions / "candidate.parquet")
    write_predictions(reference, predictions / "baseline.parquet")
    return candidate, reference
