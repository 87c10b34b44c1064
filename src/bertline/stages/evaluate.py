"""The `evaluate` stage: the candidate and the baseline on the test split, which no other stage reads."""

import csv
import json
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bertline.corpus.rows import read_rows
from bertline.evaluation.curves import read_curves
from bertline.evaluation.plots import draw
from bertline.evaluation.predictions import Predictions, write_predictions
from bertline.evaluation.report import render
from bertline.evaluation.summary import summarize
from bertline.modeling.baseline import load_baseline
from bertline.params.evaluate import Params
from bertline.params.loading import load_params
from bertline.serving.classifier import Classifier
from bertline.stages.command import run


class Model(Protocol):
    """What both models do."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names [C], sorted."""

    def probabilities(self, texts: list[str], /) -> npt.NDArray[np.float32]:
        """Class probabilities [N, C] of `texts` [N]."""


def evaluate(
    *, test: Path, model: Path, baseline: Path, training: Path, predictions: Path, report: Path
) -> None:
    """Compare the candidate with the baseline on the test rows; write predictions, numbers and report."""
    params = load_params(Params)
    rows = read_rows(test)
    candidate = predict(Classifier(model, threads=params.threads, batch_size=params.batch_size), rows)
    reference = predict(load_baseline(baseline), rows)
    write_predictions(candidate, predictions / "candidate.parquet")
    write_predictions(reference, predictions / "baseline.parquet")
    write_report(params, rows, candidate, reference, training=training, report=report)


def predict(model: Model, rows: pa.Table) -> Predictions:
    """Return what `model` says about `rows`.

    Raises:
        ValueError: there are no rows, or one has a label that the model does not know.

    """
    if rows.num_rows == 0:
        raise ValueError("the test split has no rows; raise split.test in params.yaml")
    labels = rows["label"].to_pylist()
    unknown = sorted(set(labels) - set(model.labels))
    if unknown:
        known = ", ".join(model.labels)
        raise ValueError(
            f"the test split has the label {unknown[0]!r}, which is not in the training split ({known});"
            " add rows of it, or list the labels allowed as validate.labels in params.yaml"
        )
    index = {label: i for i, label in enumerate(model.labels)}
    return Predictions(
        ids=rows["id"].to_pylist(),
        classes=tuple(model.labels),
        expected=np.array([index[label] for label in labels]),
        probabilities=model.probabilities(rows["text"].to_pylist()),
    )


def write_report(
    params: Params,
    rows: pa.Table,
    candidate: Predictions,
    baseline: Predictions,
    *,
    training: Path,
    report: Path,
) -> None:
    """Write metrics.json, classes.json, confusion.csv, evaluation.png and report.html to `report`."""
    curves = read_curves(training)
    metrics = summarize(
        candidate, baseline, resamples=params.resamples, confidence=params.confidence, seed=params.seed
    )
    png = draw(candidate, baseline, metrics, curves)
    page = render(metrics, candidate, rows["text"].to_pylist(), png, curves)
    report.mkdir(parents=True, exist_ok=True)
    # In a file of their own: as DVC metrics, four columns a class would drown the headline numbers.
    headline = {key: value for key, value in metrics.items() if key != "classes"}
    for name, numbers in (("metrics", headline), ("classes", metrics["classes"])):
        (report / f"{name}.json").write_text(
            json.dumps(numbers, indent=2, ensure_ascii=False) + "\n", "utf-8"
        )
    _write_confusion(candidate, report / "confusion.csv")
    (report / "evaluation.png").write_bytes(png)
    (report / "report.html").write_text(page, encoding="utf-8")
    _print_table(metrics)


def _write_confusion(predictions: Predictions, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("actual", "predicted"))
        for actual, predicted in zip(predictions.expected, predictions.predicted, strict=True):
            writer.writerow((predictions.classes[actual], predictions.classes[predicted]))


def _print_table(metrics: dict[str, Any]) -> None:
    print(f"{metrics['rows']:,} test rows, {metrics['confidence']:.0%} intervals")
    print(f"{'':12}{'accuracy':28}macro-F1")
    for model, sign in (("candidate", ""), ("baseline", ""), ("difference", "+")):
        line = f"{model:12}"
        for metric in ("accuracy", "macro_f1"):
            value, low, high = (
                format(metrics[model][metric + end], f"{sign}.3f") for end in ("", "_low", "_high")
            )
            line += f"{value:8}{f'{low} to {high}':20}"
        print(line.rstrip())


if __name__ == "__main__":
    run(evaluate)
