"""The JSON documents of reports/evaluation with every part, in the shapes that the pages read."""

from typing import Any

import pyarrow as pa


def _ends(name: str, value: float, width: float = 0.013) -> dict[str, float]:
    return {name: value, f"{name}_low": round(value - width, 6), f"{name}_high": round(value + width, 6)}


def _model(accuracy: float) -> dict[str, float]:
    scores = _ends("accuracy", accuracy) | _ends("macro_f1", accuracy - 0.0123)
    return scores | {"mcc": 0.812, "log_loss": 0.327, "brier": 0.142, "calibration_error": 0.031}


def _calibration(error: float) -> dict[str, float]:
    scores = _ends("log_loss", 0.327) | _ends("brier", 0.142) | _ends("calibration_error", error)
    return scores | {"calibration_floor": 0.021, "calibration_floor_high": 0.034}


def documents(label: str = "ham", text: str = "where is it?") -> dict[str, Any]:
    """Return the documents of a model with one shortcut; `label` and `text` stand wherever data stands."""
    example = {"id": "a1", "text": text}
    behaviour = {"kind": "invariance", "description": text, "cases": 291, "failures": 9, "skipped": None}
    changed = {"id": "a1", "before": text, "after": f"{text}!", "prediction_before": label}
    slice_ = {"rows": 417} | _ends("accuracy", 0.941)
    return {
        "metrics": {
            "rows": 1234,
            "confidence": 0.95,
            "candidate": _model(0.934),
            "baseline": _model(0.871),
            "difference": _ends("accuracy", 0.063) | _ends("macro_f1", 0.0571),
            "abstention": {"answered": 0.963, "precision_of_answered": 0.957},
            "out_of_scope": {"rows": 57, "refused": 0.614, "auroc": 0.877},
        },
        "classes": {
            label: {"precision": 0.911, "recall": 0.922, "f1": 0.9165, "support": 617},
            "spam": {"precision": 0.933, "recall": 0.944, "f1": 0.9385, "support": 617},
        },
        "calibration": {"candidate": _calibration(0.031), "baseline": _calibration(0.029)},
        "scores": {"candidate": _model(0.934) | {"kappa": 0.803}, "baseline": _model(0.871)},
        "reliability": {
            model: [
                {"probability": 0.613, "right": 0.587, "rows": 617},
                {"probability": 0.9, "right": 1.0, "rows": 617},
            ]
            for model in ("candidate", "baseline")
        },
        "confusion_matrix": {
            "classes": [label, "spam"],
            "cells": [
                {"actual": label, "predicted": label, "rows": 575, "share": 0.932},
                {"actual": label, "predicted": "spam", "rows": 42, "share": 0.068},
                {"actual": "spam", "predicted": "spam", "rows": 617, "share": 1.0},
            ],
            "skipped": None,
        },
        "confused": {
            "pairs": [
                {
                    "actual": label,
                    "predicted": "spam",
                    "rows": 42,
                    "share_of_actual": 0.068,
                    "examples": [example],
                }
            ],
            "pairs_found": 1,
            "skipped": None,
        },
        "slices": {
            "confidence": 0.95,
            "slices": [
                {"group": "length", "name": "1 to 34 characters"} | slice_,
                {"group": "source", "name": text} | slice_,
            ],
            "skipped": [{"group": "time", "reason": "no row has a time"}],
        },
        "weak_slices": {
            "level": 0.05,
            "proposed_on": 619,
            "confirmed_on": 615,
            "detectable": {"share": 0.08, "points": 11.3, "power": 0.9},
            "slices": [],
            "skipped": None,
            "rows": 1234,
            "of_rows": 1234,
        },
        "behaviour": {
            "rows": 300,
            "of_rows": 1234,
            "confidence": 0.95,
            "tests": [
                behaviour
                | {"name": "typos", "examples": [changed | {"prediction_after": "spam"}]}
                | _ends("failure_rate", 0.0309),
                behaviour
                | {"name": text, "examples": [], "skipped": "fits no text here"}
                | _ends("failure_rate", 0.0),
            ],
        },
        "pinned": {
            "pinned": 7,
            "scored": 5,
            "right": 5,
            "wrong": [],
            "not_scored": [
                {"content_id": "c0ffee", "label": label, "reason": "it lies in the training split"}
            ],
        }
        | _ends("accuracy", 0.857),
        "mistakes": {"wrong": 81, "listed": 17, "shown": 3},
        "label_issues": {
            "found": {"test": 4, "train": 61},
            "rows": {"test": 1234, "train": 5678},
            "listed": 65,
        },
        "data_checks": {
            "rows": 1234,
            "of_rows": 1234,
            "train_rows": 2345,
            "of_train_rows": 5678,
            "checks": [
                {
                    "name": "outliers",
                    "found": 19,
                    "explanation": "far from all training rows",
                    "skipped": None,
                }
                | {"examples": [example | {"score": 0.123, "note": "far"}]},
                {"name": "order", "found": 0, "explanation": "", "skipped": "too few rows", "examples": []},
            ],
            "shortcuts": [
                {"property": "has the word 'zx'", "label": "ham", "rows": 31}
                | {"train": 0.953, "test": 0.412, "predicted": 0.871}
            ],
            "shortcuts_found": 1,
            "near_perfect": [],
            "near_perfect_found": 0,
        },
        "cost": {
            "parameters": 22713216,
            "bytes": 22971111,
            "flops_per_token": 21233664,
            "flops_per_text": 254803968,
            "tokens_per_text": 12.3,
            "rows": 1234,
            "of_rows": 1234,
        },
        "training": {
            "steps": 381,
            "best_epoch": 2,
            "epochs": [_epoch(1, 0.791), _epoch(2, 0.222)],
            "loss": [{"step": 190, "loss": 0.803}, {"step": 381, "loss": 0.214}],
        },
        "conclusions": {
            "good": "All is good.",
            "weak": f"{label} is weak.",
            "do": "Label more.",
            "more": [text],
        },
    }


def _epoch(epoch: int, loss: float) -> dict[str, float]:
    scores = {"validation_accuracy": 0.918, "validation_macro_f1": 0.844}
    return {"epoch": epoch, "train_loss": loss, "validation_loss": 0.265} | scores


def mistakes(rows: int = 3, label: str = "ham", text: str = "where is it?") -> pa.Table:
    """Return wrongly answered rows in the columns of mistakes.parquet, each with a number in its text."""
    columns = {name: [label] * rows for name in ("id", "content_id", "label")}
    columns |= {"prediction": ["spam"] * rows, "source": ["raw.csv"] * rows}
    columns["text"] = [f"{text} {place}" for place in range(rows)]
    probabilities = [round(0.99 - place / (2 * rows), 6) for place in range(rows)]
    return pa.table(columns | {"probability": probabilities})


def label_issues(label: str = "ham", text: str = "where is it?") -> pa.Table:
    """Return a doubtful label in the columns of `LabelIssues.worst`."""
    row = {"side": "test", "id": "a1", "text": text, "given": label, "suggested": "spam"}
    return pa.Table.from_pylist([row | {"score": 0.013, "source": "raw.csv"}])
