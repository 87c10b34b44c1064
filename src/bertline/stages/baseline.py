"""The `baseline` stage: fit what BERT must beat, on the rows that BERT is trained on and no others."""

from pathlib import Path

from bertline.corpus.rows import inputs, is_multi_label, read_rows
from bertline.evaluation.predictions import Predictions, encode, write_predictions
from bertline.modeling.baseline import fit_baseline, predict_out_of_fold
from bertline.params.baseline import Params
from bertline.params.loading import load_params
from bertline.stages.command import run


def baseline(*, splits: Path, model: Path, out_of_fold: Path) -> None:
    """Fit TF-IDF and logistic regression to the training rows; predict each row without having seen it."""
    params = load_params(Params)
    rows, multi_label = read_rows(splits / "train.parquet"), is_multi_label(splits / "train.parquet")
    texts, labels, content_ids = inputs(rows), rows["label"].to_pylist(), rows["content_id"].to_pylist()
    fitted = fit_baseline(texts, labels, params, multi_label=multi_label)
    fitted.save(model)
    predictions = Predictions(
        ids=rows["id"].to_pylist(),
        classes=fitted.labels,
        expected=encode(labels, fitted.labels, multi_label=multi_label),
        probabilities=predict_out_of_fold(texts, labels, content_ids, params, multi_label=multi_label),
    )
    write_predictions(predictions, out_of_fold / "train.parquet")
    print(f"fitted {len(fitted.labels)} classes to {rows.num_rows:,} rows")
    print(f"out-of-fold accuracy {predictions.right.mean():.3f} over {params.folds} folds")


if __name__ == "__main__":
    run(baseline)
