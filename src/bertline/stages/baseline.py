"""The `baseline` stage: fit what BERT must beat, on the rows that BERT is trained on and no others."""

from pathlib import Path

from bertline.corpus.rows import read_rows
from bertline.modeling.baseline import fit_baseline
from bertline.params.baseline import Params
from bertline.params.loading import load_params
from bertline.stages.command import run


def baseline(*, splits: Path, model: Path) -> None:
    """Fit TF-IDF and logistic regression to the training rows."""
    params = load_params(Params)
    rows = read_rows(splits / "train.parquet")
    fitted = fit_baseline(rows["text"].to_pylist(), rows["label"].to_pylist(), params)
    fitted.save(model)
    print(f"fitted {len(fitted.labels)} classes to {rows.num_rows:,} rows")


if __name__ == "__main__":
    run(baseline)
