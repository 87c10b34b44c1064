"""The `baseline` stage: fit what BERT must beat, on the rows that BERT is trained on and no others."""

from pathlib import Path

import numpy as np

from bertline.corpus.rows import inputs, read_rows
from bertline.evaluation.predictions import Predictions, write_predictions
from bertline.modeling.baseline import fit_baseline, predict_out_of_fold
from bertline.params.baseline import Params
from bertline.params.loading import load_params
from bertline.stages.command import run


def baseline(*, splits: Path, model: Path, out_of_fold: Path) -> None:
    """Fit TF-IDF and logistic regression to the training rows; predict each row without having seen it."""
    params = load_params(Params)
    rows = read_rows(splits / "train.parquet")
    texts, labels = inputs(rows), rows["label"].to_pylist()
    fitted = fit_baseline(texts, labels, params)
    fitted.save(model)
    index = {label: i for i, label in enumerate(fitted.labels)}
    predictions = Predictions(
        ids=rows["id"].to_pylist(),
        classes=fitted.labels,
        expected=np.array([index[label] for label in labels]),
        probabilities=predict_out_of_fold(texts, labels, rows["content_id"].to_pylist(), params),
    )
    write_predictions(predictions, out_of_fold / "train.parquet")
    right = float((predictions.predicted == predictions.expected).mean())
    print(f"fitted {len(fitted.labels)} classes to {rows.num_rows:,} rows")
    print(f"out-of-fold accuracy {right:.3f} over {params.folds} folds")


if __name__ == "__main__":
    run(baseline)
