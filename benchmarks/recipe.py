"""The recipe of `finetune` (epochs: auto, learning_rate: auto) against fixed settings, on several data sets.

Trains the packaged encoder with the project's own engine, on one CPU thread and otherwise by params.yaml.
Adds a line for each training to benchmarks/results/recipe.csv. A training whose line is there is not run
again: the command continues where it was stopped, and a later session adds to it. First come the fixed
numbers of epochs and the rule's own, with one seed; then the rule and the best fixed number of the set with
the other seeds; then half and twice the rule's learning rate. With `--encoder all-mpnet-base-v2`, which needs
eight times the computation, only learning rates are measured; benchmarks/recipe_data.py says how to get it.

Validation rows choose the epoch, as in the product; other rows score it. Both come from the training parts of
the packages. `--report` only prints the tables: the rule against the best fixed number of epochs, with the
noise of seeds, and against other learning rates. `--sets` names some sets; no training starts after
`--minutes`.
"""

import argparse
import csv
import logging
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import torch
from transformers import PreTrainedModel

from benchmarks.recipe_data import DATA_SETS, ENCODERS, Prepared, prepare_data
from bertline.core.params_loading import load_params
from bertline.encoder.collate import collate_for
from bertline.metrics.classification import accuracy, macro_f1
from bertline.params.finetune import Params, Resolved
from bertline.stages.finetune.diagnosis import diagnose
from bertline.stages.finetune.prepare import fine_tune, prepare
from bertline.stages.finetune.recipe import choose_epochs, choose_learning_rate
from bertline.stages.finetune.task import predict, predict_classes_of
from bertline.tokens.arrays import TokenizedSplit
from bertline.training.checkpoints import Checkpoints
from bertline.training.determinism import keep_freed_memory
from bertline.training.history import best_epoch

RESULTS = Path("benchmarks/results/recipe.csv")
FIXED_EPOCHS = (3, 8, 16)
BATCH_SIZE = 32
RATES = {"all-MiniLM-L6-v2": choose_learning_rate(6, 384), "all-mpnet-base-v2": choose_learning_rate(12, 768)}
"""What the recipe gives to each encoder."""
SMALL = "all-MiniLM-L6-v2"
"""The encoder whose numbers of epochs are compared, too: those of a larger one would take days."""
OTHER_RATES = (0.5, 2.0)
"""Times that rate."""
SEEDS = (1, 2, 3)


@dataclass(frozen=True, order=True)
class Run:
    """One training."""

    encoder: str
    data: str
    epochs: int
    learning_rate: float
    seed: int


@dataclass(frozen=True)
class Result:
    """What came of a run, on the rows that score: of the best epoch on validation. A line of the file."""

    encoder: str
    data: str
    epochs: int
    learning_rate: float
    seed: int
    rows: int
    classes: int
    best_epoch: int
    accuracy: float
    macro_f1: float
    minutes: float

    @property
    def run(self) -> Run:
        """The training."""
        return Run(self.encoder, self.data, self.epochs, self.learning_rate, self.seed)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoder", choices=RATES, default=SMALL)
    parser.add_argument("--sets", nargs="+", choices=DATA_SETS, default=[*DATA_SETS])
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--report", action="store_true")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    done = {result.run: result for result in read_results()}
    if not arguments.report:
        torch.set_num_threads(1)
        keep_freed_memory()
        measure(arguments.encoder, arguments.sets, done, time.monotonic() + 60 * arguments.minutes)
    of_encoder = [each for each in done.values() if each.encoder == arguments.encoder]
    report(arguments.encoder, arguments.sets, of_encoder)


def measure(encoder: str, names: list[str], done: dict[Run, Result], deadline: float) -> None:
    """Add to `done`, and to the file, the runs that are missing, until the deadline."""
    weights = ENCODERS[encoder]()
    prepared = {name: prepare_data(DATA_SETS[name], weights) for name in names}
    for run in plan(encoder, prepared, done):
        if run in done:
            continue
        if time.monotonic() > deadline:
            print("out of time; the same command continues")
            return
        done[run] = train(run, prepared[run.data])
        append(done[run])
        print(f"{run}: {done[run].accuracy:.4f}, {done[run].minutes:.1f} min", flush=True)


def plan(encoder: str, prepared: dict[str, Prepared], done: Mapping[Run, Result]) -> Iterator[Run]:
    """Yield all runs, those that say most first; `done` gets the results meanwhile."""
    first, *others = SEEDS
    rate = RATES[encoder]
    small = encoder == SMALL
    for name, data in prepared.items():
        # The ends first: 8 epochs lie between them.
        fixed = FIXED_EPOCHS if small else ()
        for epochs in sorted({*fixed, rule(data)}, key=lambda each: (each == 8, each)):
            yield Run(encoder, name, epochs, rate, first)
    for name, data in prepared.items() if small else ():
        best = max(FIXED_EPOCHS, key=lambda each: done[Run(encoder, name, each, rate, first)].accuracy)
        for seed in others:
            for epochs in sorted({best, rule(data)}):
                yield Run(encoder, name, epochs, rate, seed)
    for name, data in prepared.items():
        for factor in OTHER_RATES:
            yield Run(encoder, name, rule(data), factor * rate, first)


def rule(data: Prepared) -> int:
    """Return the epochs that the recipe gives."""
    return choose_epochs(len(data.splits["train"]), len(data.manifest.classes), BATCH_SIZE)


def train(run: Run, data: Prepared) -> Result:
    """Return how the best epoch on validation does on the rows that score."""
    start = time.process_time()
    changes = {"epochs": run.epochs, "learning_rate": run.learning_rate, "seed": run.seed}
    fixed = {"batch_size": BATCH_SIZE, "patience": None, "device": "cpu", "threads": 1}
    params = Resolved(**vars(load_params(Params)) | changes | fixed)
    model = prepare(data.encoder, data.manifest, params, torch.device("cpu"))
    with tempfile.TemporaryDirectory() as scratch:
        events = list(fine_tune(model, data.splits, params, Checkpoints("recipe", Path(scratch))))
    best = best_epoch(events, params.select_by)
    assert best is not None, "at least one epoch is asked for"
    validation, score = data.splits["validation"], data.splits["score"]
    predicted = predict_labels(model, validation, params)
    for each in diagnose(
        events, validation.labels, predicted, data.manifest.classes, params, rate_is_auto=True
    ):
        print(f"  {each}")
    predicted = predict_labels(model, score, params)
    return Result(
        **vars(run),
        rows=len(data.splits["train"]),
        classes=len(data.manifest.classes),
        best_epoch=best.epoch,
        accuracy=round(accuracy(score.labels, predicted), 4),
        macro_f1=round(macro_f1(score.labels, predicted, len(data.manifest.classes)), 4),
        minutes=round((time.process_time() - start) / 60, 2),
    )


def predict_labels(model: PreTrainedModel, split: TokenizedSplit, params: Resolved) -> np.ndarray:
    """Return the class of each row that `model` predicts [N]."""
    logits = predict(model, split, params.rows_at_once, collate_for(model))
    return predict_classes_of(logits, like=split.labels)


def read_results() -> list[Result]:
    """Return the lines of the file."""
    if not RESULTS.exists():
        return []
    with RESULTS.open(encoding="utf-8", newline="") as file:
        types = {field.name: field.type for field in fields(Result)}
        assert all(isinstance(each, type) for each in types.values()), "annotations are evaluated here"
        return [Result(**{name: types[name](row[name]) for name in types}) for row in csv.DictReader(file)]


def append(result: Result) -> None:
    """Add a line to the file."""
    RESULTS.parent.mkdir(exist_ok=True)
    new = not RESULTS.exists()
    with RESULTS.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Result)], lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(vars(result))


def report(encoder: str, names: list[str], results: list[Result]) -> None:
    """Print a line for each set: accuracy by epochs, and what the rule loses; then by learning rate."""
    report_epochs(names, [each for each in results if each.learning_rate == RATES[encoder]])
    rates = sorted(factor * RATES[encoder] for factor in (1.0, *OTHER_RATES))
    print(f"\n{'accuracy, seed 1':16}{'rows':>6}{'epochs':>9}" + "".join(f"{each:>15g}" for each in rates))
    for name in names:
        of_set = [each for each in results if (each.data, each.seed) == (name, SEEDS[0])]
        for epochs in sorted({each.epochs for each in of_set if each.learning_rate != RATES[encoder]}):
            found = {each.learning_rate: each.accuracy for each in of_set if each.epochs == epochs}
            cells = "".join(f"{_cell([found[each]] if each in found else []):>15}" for each in rates)
            print(f"{name:16}{of_set[0].rows:6}{epochs:9}{cells}")


def report_epochs(names: list[str], results: list[Result]) -> None:
    """Print a line for each set: accuracy by epochs, and what the rule loses to the best fixed number."""
    columns = "".join(f"{f'{each} epochs':>15}" for each in FIXED_EPOCHS)
    print(f"{'accuracy':16}{'rows':>6}{'classes':>9}{columns}{'rule':>22}{'rule - best fixed':>20}")
    for name in names:
        of_set = [each for each in results if each.data == name]
        if not of_set:
            continue
        rows, classes = of_set[0].rows, of_set[0].classes
        chosen = choose_epochs(rows, classes, BATCH_SIZE)
        by_epochs = {
            epochs: [each.accuracy for each in of_set if each.epochs == epochs]
            for epochs in {*FIXED_EPOCHS, chosen}
        }
        cells = "".join(f"{_cell(by_epochs[each]):>15}" for each in FIXED_EPOCHS)
        own = by_epochs[chosen]
        # One seed is luck beside the mean of several.
        equally_often = [by_epochs[each] for each in FIXED_EPOCHS if len(by_epochs[each]) >= len(own)]
        best = max(map(fmean, filter(None, equally_often)), default=None)
        loss = f"{fmean(own) - best:+.4f}" if own and best is not None else "-"
        print(f"{name:16}{rows:6}{classes:9}{cells}{f'{chosen}: {_cell(own)}':>22}{loss:>20}")


def _cell(values: list[float]) -> str:
    """Return the mean, and the standard deviation over seeds where there are several."""
    if not values:
        return "-"
    return f"{fmean(values):.4f}" + (f" ±{stdev(values):.3f}" if len(values) > 1 else "")


if __name__ == "__main__":
    main()
