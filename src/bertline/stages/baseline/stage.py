"""The `baseline` stage: fit what BERT must beat, on the rows that BERT is trained on and no others."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from bertline.core.params_loading import load_params
from bertline.metrics.predictions import Predictions, write_predictions
from bertline.models.tfidf import Baseline
from bertline.params.baseline import Params
from bertline.rows.io import inputs, read_rows
from bertline.rows.labels import in_scope
from bertline.stages.baseline.calibration import fit_out_of_fold
from bertline.stages.baseline.fit import EXACT, fit_baseline, predict_out_of_fold
from bertline.stages.baseline.large import fit_large
from bertline.stages.baseline.training_rows import TrainingRows, read_training_rows


def baseline(*, splits: Path, model: Path, out_of_fold: Path) -> None:
    """Fit TF-IDF and logistic regression to the training rows; predict each row without having seen it.

    The model is calibrated on these out-of-fold predictions. They are written as they are, because they must
    not know the label of their row, and the temperature knows all labels. The list of doubtful labels, which
    reads them, compares them with their own mean for each class and needs no calibration.
    """
    params = load_params(Params)
    rows = read_training_rows(splits / "train.parquet", params.folds)
    exact = len(rows.ids) * len(rows.space.classes) <= EXACT
    fitted, probabilities = (_fit_exactly if exact else fit_large)(rows, params)
    temperature = fit_out_of_fold(probabilities, rows.expected)
    fitted.scale_logits(1 / temperature.values_C)
    fitted.save(model)
    predictions = Predictions(
        ids=rows.ids, classes=rows.space.classes, expected=rows.expected, probabilities=probabilities
    )
    write_predictions(predictions, out_of_fold / "train.parquet")
    print(f"fitted {len(rows.space.classes)} classes to {len(rows.ids):,} rows")
    print(f"out-of-fold accuracy {predictions.right.mean():.3f} over {params.folds} folds")
    print(f"calibrated on them: {temperature}")


def _fit_exactly(rows: TrainingRows, params: Params) -> tuple[Baseline, npt.NDArray[np.float32]]:
    table = in_scope(read_rows(rows.path))
    texts, labels, content_ids = inputs(table), table["label"].to_pylist(), table["content_id"].to_pylist()
    fitted = fit_baseline(texts, labels, params, rows.space)
    return fitted, predict_out_of_fold(texts, labels, content_ids, params, rows.space)
