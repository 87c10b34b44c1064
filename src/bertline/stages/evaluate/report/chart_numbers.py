"""The numbers behind the charts of the report, small whatever the number of rows, steps and classes.

Guarantees that a chart and its table show the same numbers: both are made of these documents.
"""

from typing import Any

import numpy as np

from bertline.metrics.calibration import reliability
from bertline.metrics.predictions import Predictions
from bertline.metrics.rounding import rounded
from bertline.stages.evaluate.training_curves import Curves

MAX_CLASSES = 40  # of a confusion matrix that can be read
MAX_STEPS = 300  # of the training loss; beyond that each point is the mean of several steps


def reliability_bins(models: dict[str, Predictions]) -> dict[str, list[dict[str, float]]]:
    """Return the bins of the reliability diagram by model: mean probability, share that is right, rows."""
    document = {}
    for model, predictions in models.items():
        bins = reliability(predictions.expected, predictions.probabilities)
        columns = (bins.confidence.tolist(), bins.accuracy.tolist(), bins.rows.tolist())
        document[model] = [
            {"probability": round(sure, 6), "right": round(right, 6), "rows": rows}
            for sure, right, rows in zip(*columns, strict=True)
        ]
    return document


def confusion_matrix(predictions: Predictions) -> dict[str, Any]:
    """Return the cells of the confusion matrix that hold rows, with their share of the actual class.

    Where there is none, `cells` is empty and `skipped` says why.
    """
    classes = list(predictions.classes)
    document: dict[str, Any] = {"classes": classes, "cells": [], "skipped": None}
    if predictions.multi_label:
        reason = "With several labels a row, nobody knows which of them the model confused with which."
        return document | {"skipped": reason}
    if len(classes) > MAX_CLASSES:
        return document | {"skipped": f"A matrix of {len(classes):,} classes cannot be read; see the pairs."}
    cells = predictions.expected * len(classes) + predictions.predicted
    counts = np.bincount(cells, minlength=len(classes) ** 2).reshape(len(classes), -1)
    document["cells"] = [
        {
            "actual": classes[actual],
            "predicted": classes[predicted],
            "rows": int(counts[actual, predicted]),
            "share": round(float(counts[actual, predicted] / counts[actual].sum()), 6),
        }
        for actual, predicted in zip(*np.nonzero(counts), strict=True)
    ]
    return document


def thinned(curves: Curves) -> dict[str, Any]:
    """Return the epochs, the number of steps, and the loss at no more than `MAX_STEPS` of them."""
    size = -(-len(curves.loss) // MAX_STEPS)
    parts = [slice(start, start + size) for start in range(0, len(curves.loss), size)]
    loss = [{"step": int(curves.steps[part][-1]), "loss": float(curves.loss[part].mean())} for part in parts]
    epochs = [rounded(epoch) for epoch in curves.epochs]
    document: dict[str, Any] = rounded(
        {"steps": len(curves.steps), "best_epoch": curves.summary["best_epoch"], "epochs": epochs}
    )
    return document | {"loss": [rounded(each) for each in loss]}
