"""What the `finetune` stage reports: the curves and the summary of the training, and the temperature."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv

from bertline.metrics.temperature import Temperature, from_record


@dataclass(frozen=True, eq=False)
class Curves:
    """Training loss by step [S], one row of numbers per epoch, and the summary of the run."""

    steps: npt.NDArray[np.int64]
    loss: npt.NDArray[np.float64]
    epochs: list[
        dict[str, float]
    ]  # epoch, train_loss, validation_loss, validation_accuracy, validation_macro_f1
    summary: dict[str, Any]


def read_curves(folder: Path) -> Curves:
    """Read steps.csv, epochs.csv and summary.json.

    Raises:
        ValueError: one of them is missing or cannot be read.
    """
    try:
        steps = pyarrow.csv.read_csv(folder / "steps.csv")
        epochs = pyarrow.csv.read_csv(folder / "epochs.csv").to_pylist()
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        return Curves(steps["step"].to_numpy(), steps["loss"].to_numpy(), epochs, summary)
    except (FileNotFoundError, NotADirectoryError, KeyError, ValueError, pa.ArrowInvalid):
        raise ValueError(
            f"{folder} does not hold the curves of a training; run `dvc repro finetune`"
        ) from None


def read_temperature(folder: Path, classes: Sequence[str]) -> Temperature:
    """Read from calibration.json what the logits of `classes` have been divided by.

    Raises:
        ValueError: it is missing, or it is of other classes.
    """
    try:
        document = json.loads((folder / "calibration.json").read_text(encoding="utf-8"))
        return from_record(document["temperature"], classes)
    except (FileNotFoundError, NotADirectoryError, KeyError, ValueError):
        raise ValueError(
            f"{folder} does not hold the calibration of this model; run `dvc repro finetune`"
        ) from None
