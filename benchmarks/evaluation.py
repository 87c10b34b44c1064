"""What `evaluate` costs by the number of rows: CPU time, peak memory, and how much ten times the rows cost.

Runs the stage as dvc.yaml does, in a process and a folder of its own, on 20,000 and 200,000 rows; `--full`
adds 500,000 and 5,000,000, which are the bar: 24 GiB, and at most 12 x the time of 500,000. Of the rows, 80 %
are to train on, 10 % validation and 10 % test, texts of some 16 words. The model is a tiny random BERT and
the baseline is fitted to few rows, since what may grow with the rows does not depend on the model; the
out-of-fold predictions are random, and right for nine rows of ten.

On a busy machine the CPU time says more than the clock. `--folder` keeps the files and uses those there.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.csv

from benchmarks.data import LABELS, PROJECT, copy_settings, stage_command, timed
from benchmarks.model_stages import SPLITS, random_rows
from benchmarks.prediction import save_model, write_tiny_encoder
from bertline.core.files import write_json
from bertline.core.params_loading import load_params
from bertline.metrics.predictions import Predictions, write_predictions
from bertline.models.folder import SERVED, Answering, add_answering
from bertline.rows.io import inputs, read_chunks, write_rows

SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}
SIZES, FULL = (20_000, 200_000), (500_000, 5_000_000)
FITTED = 5_000  # rows of the baseline
PHRASES = 2  # of a text, eight words each


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=SIZES, help="default: 20000 200000")
    parser.add_argument("--full", action="store_true", help="measure 500,000 and 5,000,000 rows, too")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--write", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.write:
        write_inputs(arguments.write)
        return
    (PROJECT / ".bertline").mkdir(exist_ok=True)  # a fresh clone has none
    found: dict[int, tuple[float, float, float]] = {}
    print(f"{'rows':>10}{'CPU s':>9}{'seconds':>9}{'peak MB':>9}{'of 10 x the rows':>30}")
    with tempfile.TemporaryDirectory(dir=PROJECT / ".bertline") as scratch:
        for rows in sorted({*arguments.rows, *(FULL if arguments.full else ())}):
            found[rows] = seconds, cpu, memory = measure(arguments.folder or Path(scratch), rows)
            growth = ""
            if before := found.get(rows // 10):
                growth = f"{cpu / before[1]:.1f} x CPU, {memory / before[2]:.1f} x MB"
            print(f"{rows:10,}{cpu:9.1f}{seconds:9.1f}{memory:9,.0f}{growth:>30}", flush=True)


def measure(folder: Path, rows: int) -> tuple[float, float, float]:
    """Return seconds, CPU seconds and peak MB of `evaluate` on `rows` rows."""
    root = folder.absolute() / str(rows)
    if not root.exists():
        copy_settings(root)
        for name in ("slices.yaml", "behaviour.yaml", "data/pinned_rows.csv"):
            (root / name).write_bytes((PROJECT / name).read_bytes())
        # In a process of its own: the memory of this one would count as that of the stage it starts.
        code = (
            f"import sys; sys.path.insert(0, {str(PROJECT)!r}); import benchmarks.evaluation as b; b.main()"
        )
        timed(root, [sys.executable, "-c", code, "--write", str(rows)])
    return timed(root, stage_command("evaluate"))


def write_inputs(rows: int) -> None:
    """Write to the current folder all that `evaluate` reads, of `rows` rows."""
    for seed, (side, share) in enumerate(SHARES.items()):
        write_rows(random_rows(round(rows * share), seed, PHRASES), SPLITS / f"{side}.parquet")
    write_out_of_fold()
    write_models()
    write_training(Path("reports/finetune"))


def write_out_of_fold() -> None:
    """Write random predictions of the training rows, of which nine of ten are right."""
    draw = np.random.default_rng(1)
    columns = [*read_chunks(SPLITS / "train.parquet", columns=["id", "label"])]
    ids = [each for chunk in columns for each in chunk["id"].to_pylist()]
    expected = np.searchsorted(LABELS, [each for chunk in columns for each in chunk["label"].to_pylist()])
    probabilities = draw.dirichlet(np.full(len(LABELS), 0.5), len(ids)).astype(np.float32) / 2
    sure = np.where(draw.random(len(ids)) < 0.9, expected, draw.integers(len(LABELS), size=len(ids)))
    probabilities[np.arange(len(ids)), sure] += 0.5
    predictions = Predictions(ids=ids, classes=LABELS, expected=expected, probabilities=probabilities)
    write_predictions(predictions, Path("data/out_of_fold/train.parquet"))


def write_models() -> None:
    """Write a tiny random BERT as `export` would, and a baseline that is fitted to some of the rows."""
    from bertline.params.baseline import Params
    from bertline.stages.baseline.fit import fit_baseline

    model = Path("models/exported")
    write_tiny_encoder(Path("encoder"))
    save_model(model, Path("encoder"), SERVED, LABELS)
    settings = Answering(precision="fp32", score="energy", max_out_of_scope=None, min_probability=0.1)
    add_answering(model, settings)
    some = next(read_chunks(SPLITS / "train.parquet")).slice(0, FITTED)
    fit_baseline(inputs(some), some["label"].to_pylist(), load_params(Params)).save(Path("models/baseline"))


def write_training(folder: Path) -> None:
    """Write what `finetune` reports, of a training of two epochs."""
    folder.mkdir(parents=True)
    steps = pyarrow.table({"step": range(1, 201), "loss": np.linspace(1.8, 0.3, 200)})
    names = ("train_loss", "validation_loss", "validation_accuracy", "validation_macro_f1")
    epochs = pyarrow.table({"epoch": [1, 2], **{name: [0.5, 0.4] for name in names}})
    for name, table in (("steps", steps), ("epochs", epochs)):
        pyarrow.csv.write_csv(table, folder / f"{name}.csv")
    write_json(folder / "summary.json", {"best_epoch": 2})
    write_json(folder / "calibration.json", {"temperature": 1.2})


if __name__ == "__main__":
    main()
