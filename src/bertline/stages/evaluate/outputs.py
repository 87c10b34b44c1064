"""The scores of `evaluate` as files: numbers, tables and the picture, and the lines that it prints."""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from bertline.core.files import write_json
from bertline.metrics.predictions import Predictions
from bertline.metrics.summary import summarize, table
from bertline.params.evaluate import Params
from bertline.reporting.spreadsheet import safe_cell, safe_table
from bertline.rows.labels import LabelSpace
from bertline.stages.evaluate.label_issues import LabelIssues
from bertline.stages.evaluate.plots import draw
from bertline.stages.evaluate.report.chart_numbers import confusion_matrix, reliability_bins, thinned
from bertline.stages.evaluate.training_curves import read_curves, read_temperature


def write_numbers(
    params: Params,
    candidate: Predictions,
    baseline: Predictions,
    issues: LabelIssues,
    *,
    training: Path,
    report: Path,
    refusals: Mapping[str, Mapping[str, float]],
) -> None:
    """Write the scores, what the charts show, the tables and evaluation.png to `report`.

    `refusals`: what `out_of_scope.count_refusals` found.
    """
    curves = read_curves(training)
    metrics = summarize(
        candidate,
        baseline,
        read_temperature(training, candidate.classes),
        resamples=params.resamples,
        confidence=params.confidence,
        seed=params.seed,
    )
    metrics |= {name: dict(numbers) for name, numbers in refusals.items()}
    report.mkdir(parents=True, exist_ok=True)
    # In a file of their own: as DVC metrics, four columns a class would drown the headline numbers.
    parts = {name: metrics[name] for name in ("scores", "classes", "calibration")}
    headline = {key: value for key, value in metrics.items() if key not in parts}
    charts = {
        "reliability": reliability_bins({"candidate": candidate, "baseline": baseline}),
        "confusion_matrix": confusion_matrix(candidate),
        "training": thinned(curves),
    }
    listed = {"found": issues.found, "rows": issues.rows, "listed": issues.worst.num_rows}
    for name, numbers in ({"metrics": headline, "label_issues": listed} | parts | charts).items():
        write_json(report / f"{name}.json", numbers)
    _write_confusion(candidate, report / "confusion.csv")
    doubtful = safe_table(_readable(issues.worst, candidate.space))
    pyarrow.csv.write_csv(doubtful, report / "label_issues.csv")
    (report / "evaluation.png").write_bytes(draw(candidate, baseline, metrics, curves))
    print(table(metrics))
    if out_of_scope := refusals.get("out_of_scope"):
        print(f"{out_of_scope['rows']:,} more test rows are out of scope, so these numbers do not count them")
    counts = (f"{issues.found[side]:,} of {rows:,} {side} rows" for side, rows in issues.rows.items())
    print(f"labels that look wrong: {', '.join(counts)}; see {report / 'label_issues.csv'}")


def _write_confusion(predictions: Predictions, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("actual", "predicted"))
        pairs = _confused_sets(predictions) if predictions.multi_label else _confused(predictions)
        writer.writerows((safe_cell(actual), safe_cell(predicted)) for actual, predicted in pairs)


def _confused(predictions: Predictions) -> Iterable[tuple[str, str]]:
    both = (predictions.space.decode(targets) for targets in (predictions.expected, predictions.predicted))
    return zip(*both, strict=True)


def _confused_sets(predictions: Predictions) -> Iterable[tuple[str, str]]:
    """Yield each label that a row has or was predicted to have; which was confused with which is unknown."""
    for expected, predicted in zip(predictions.expected, predictions.predicted, strict=True):
        for i in np.flatnonzero(expected | predicted):
            label = predictions.classes[i]
            yield label if expected[i] else "(not actual)", label if predicted[i] else "(not predicted)"


def _readable(issues: pa.Table, space: LabelSpace) -> pa.Table:
    for name in ("given", "suggested"):
        column = pa.array(["; ".join(space.split(label)) for label in issues[name].to_pylist()], pa.string())
        issues = issues.set_column(issues.schema.get_field_index(name), name, column)
    return issues
