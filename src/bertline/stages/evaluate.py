"""The `evaluate` stage: the candidate and the baseline on the test split, which no other stage reads.

It also lists the test and training rows whose labels look wrong.
"""

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from bertline.corpus.rows import LABEL_SEPARATOR, count_labels, inputs, read_rows
from bertline.evaluation.curves import read_curves
from bertline.evaluation.label_issues import LabelIssues, find_label_issues
from bertline.evaluation.plots import draw
from bertline.evaluation.predictions import (
    Predictions,
    decode,
    encode,
    read_predictions,
    write_predictions,
)
from bertline.evaluation.report import render
from bertline.evaluation.summary import summarize, table
from bertline.modeling.baseline import joined, load_baseline
from bertline.params.evaluate import Params
from bertline.params.loading import load_params
from bertline.serving.classifier import Classifier
from bertline.stages.command import run

LIMIT = 1000  # rows of label_issues.csv


class Model(Protocol):
    """What both models do."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names [C], sorted."""

    @property
    def multi_label(self) -> bool:
        """Whether a row may have several of the classes, or none."""

    def probabilities(self, inputs: list[str | tuple[str, str]], /) -> npt.NDArray[np.float32]:
        """Class probabilities [N, C] of N texts or sentence pairs."""


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
    candidate = predict(Classifier(model, threads=params.threads, batch_size=params.batch_size), rows)
    reference = predict(load_baseline(baseline), rows)
    write_predictions(candidate, predictions / "candidate.parquet")
    write_predictions(reference, predictions / "baseline.parquet")
    unseen = read_predictions(out_of_fold / "train.parquet")
    issues = list_label_issues({"test": (candidate, rows), "train": (unseen, read_rows(train))})
    write_report(params, rows, candidate, reference, issues, training=training, report=report)


def predict(model: Model, rows: pa.Table) -> Predictions:
    """Return what `model` says about `rows`.

    Raises:
        ValueError: there are no rows, or one has a label that the model does not know.

    """
    if rows.num_rows == 0:
        raise ValueError("the test split has no rows; raise split.test in params.yaml")
    unknown = sorted(set(count_labels(rows, multi_label=model.multi_label)) - set(model.labels))
    if unknown:
        known = ", ".join(model.labels)
        raise ValueError(
            f"the test split has the label {unknown[0]!r}, which is not in the training split ({known});"
            " add rows of it, or list the labels allowed as validate.labels in params.yaml"
        )
    return Predictions(
        ids=rows["id"].to_pylist(),
        classes=tuple(model.labels),
        expected=encode(rows["label"].to_pylist(), model.labels, multi_label=model.multi_label),
        probabilities=model.probabilities(inputs(rows)),
    )


def list_label_issues(sides: dict[str, tuple[Predictions, pa.Table]], limit: int = LIMIT) -> LabelIssues:
    """Return the rows whose labels look wrong, at most `limit`, by predictions of rows the model did not see.

    Raises:
        ValueError: the predictions of a side are not those of its rows.
    """
    found: dict[str, int] = {}
    tables = []
    for side, (predictions, rows) in sides.items():
        if predictions.ids != rows["id"].to_pylist():
            raise ValueError(f"the predictions of the {side} split are of other rows; run `dvc repro`")
        issues = find_label_issues(predictions)
        found[side] = issues.num_rows
        chosen = rows.take(issues["row"])
        columns = {
            "side": pa.repeat(side, issues.num_rows),
            "id": chosen["id"],
            "text": pa.array(joined(inputs(chosen)), pa.string()),
            **{name: issues[name] for name in ("given", "suggested", "score")},
            "source": chosen["source"],
        }
        tables.append(pa.table(columns))
    return LabelIssues(
        found=found,
        rows={side: rows.num_rows for side, (_, rows) in sides.items()},
        worst=pa.concat_tables(tables).sort_by("score").slice(0, limit),
    )


def write_report(
    params: Params,
    rows: pa.Table,
    candidate: Predictions,
    baseline: Predictions,
    issues: LabelIssues,
    *,
    training: Path,
    report: Path,
) -> None:
    """Write the numbers, the tables, evaluation.png and report.html to `report`."""
    curves = read_curves(training)
    metrics = summarize(
        candidate, baseline, resamples=params.resamples, confidence=params.confidence, seed=params.seed
    )
    png = draw(candidate, baseline, metrics, curves)
    page = render(metrics, candidate, joined(inputs(rows)), issues, png, curves)
    report.mkdir(parents=True, exist_ok=True)
    # In a file of their own: as DVC metrics, four columns a class would drown the headline numbers.
    headline = {key: value for key, value in metrics.items() if key != "classes"}
    for name, numbers in (("metrics", headline), ("classes", metrics["classes"])):
        (report / f"{name}.json").write_text(
            json.dumps(numbers, indent=2, ensure_ascii=False) + "\n", "utf-8"
        )
    _write_confusion(candidate, report / "confusion.csv")
    pyarrow.csv.write_csv(_readable(issues.worst), report / "label_issues.csv")
    (report / "evaluation.png").write_bytes(png)
    (report / "report.html").write_text(page, encoding="utf-8")
    print(table(metrics))
    counts = (f"{issues.found[side]:,} of {rows:,} {side} rows" for side, rows in issues.rows.items())
    print(f"labels that look wrong: {', '.join(counts)}; see {report / 'label_issues.csv'}")


def _write_confusion(predictions: Predictions, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("actual", "predicted"))
        if predictions.multi_label:
            writer.writerows(_confused_sets(predictions))
        else:
            both = (
                decode(targets, predictions.classes)
                for targets in (predictions.expected, predictions.predicted)
            )
            writer.writerows(zip(*both, strict=True))


def _confused_sets(predictions: Predictions) -> Iterable[tuple[str, str]]:
    """Yield each label that a row has or was predicted to have; which was taken for which is unknown."""
    for expected, predicted in zip(predictions.expected, predictions.predicted, strict=True):
        for i in np.flatnonzero(expected | predicted):
            label = predictions.classes[i]
            yield label if expected[i] else "(not actual)", label if predicted[i] else "(not predicted)"


def _readable(issues: pa.Table) -> pa.Table:
    for name in ("given", "suggested"):
        column = pc.replace_substring(issues[name], LABEL_SEPARATOR, "; ")
        issues = issues.set_column(issues.schema.get_field_index(name), name, column)
    return issues


if __name__ == "__main__":
    run(evaluate)
