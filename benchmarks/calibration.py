"""What the temperature does to probabilities of new rows: MiniLM and TF-IDF on data sets that packages ship.

Fine-tunes MiniLM on few rows of each set with the settings of params.yaml and several seeds, fits the
temperature on other rows as `finetune` does, and judges it on `--test` rows that neither has read. TF-IDF is
calibrated on its out-of-fold predictions, as `baseline` does. Prints two numbers before and after: the
excess, by which the calibration error exceeds what chance alone makes of it, and the log-loss, with the 95 %
interval of its change over the rows.

The bars, by the mean over the seeds: where the excess is at least .02 before, it is halved; the log-loss does
not rise (the interval of no seed lies above 0). Logits are kept in .bertline/calibration, so that the command
continues where it stopped. benchmarks/recipe_data.py says how to get the data sets.
"""

import argparse
import hashlib
import logging
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.special import softmax

from benchmarks.recipe_data import READERS, make_manifest
from bertline.core.params_loading import load_params
from bertline.encoder.collate import collate_for
from bertline.metrics.calibration_intervals import calibration_numbers, log_loss_difference
from bertline.metrics.intervals import Interval, Settings
from bertline.metrics.temperature import Temperature, fit_temperature, undo
from bertline.params.baseline import Params as Baseline
from bertline.params.finetune import Params
from bertline.stages.baseline.calibration import fit_out_of_fold
from bertline.stages.baseline.fit import fit_baseline, predict_out_of_fold
from bertline.stages.finetune.prepare import fine_tune, prepare, resolve_settings
from bertline.stages.finetune.task import predict
from bertline.tokens.arrays import TokenizedSplit
from bertline.tokens.pretrained import find_pretrained
from bertline.tokens.truncation import Truncator
from bertline.training.checkpoints import Checkpoints
from bertline.training.determinism import keep_freed_memory

CACHE = Path(".bertline/calibration")
WEIGHTS = "sample:all-MiniLM-L6-v2"
MAX_LENGTH = 32
SETTINGS: Settings = {"resamples": 2000, "confidence": 0.95, "seed": 1}
ENOUGH = 0.02  # excess from which on it must be halved


class Judged(NamedTuple):
    """A model before and after its calibration, on the test rows."""

    temperature: float
    excess_before: float
    excess_after: float
    loss_before: float
    loss_after: float
    change: Interval


class Rows(NamedTuple):
    """The rows of a data set that are for one purpose: texts, and their labels as numbers."""

    texts: list[str]
    labels: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--sets", nargs="+", choices=READERS, default=["trec", "trec-fine", "sms", "sentiment"]
    )
    parser.add_argument("--seeds", type=int, default=3, help="seeds (default: 3)")
    parser.add_argument("--rows", type=int, default=500, help="training rows (default: 500)")
    parser.add_argument("--validation", type=int, default=400, help="rows for the temperature (default: 400)")
    parser.add_argument("--test", type=int, default=2000, help="test rows (default: 2000)")
    parser.add_argument("--epochs", type=int, default=None, help="epochs (default: those of params.yaml)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default: 2)")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    keep_freed_memory()
    params = replace(load_params(Params), threads=arguments.threads)
    if arguments.epochs is not None:
        params = replace(params, epochs=arguments.epochs)
    sizes = {name: getattr(arguments, name) for name in ("rows", "validation", "test")}
    print(f"{'':32}{'T':>6}{'excess of the error':>22}{'log-loss':>18}{'change':>30}")
    for name in arguments.sets:
        classes, parts = read(name, sizes)
        print(
            f"{name}: {len(classes)} classes; rows: "
            + ", ".join(f"{purpose} {len(part.texts)}" for purpose, part in parts.items())
        )
        show("  TF-IDF", judge_baseline(classes, parts))
        seeds = []
        for seed in range(1, arguments.seeds + 1):
            logits = fine_tuned(name, classes, parts, replace(params, seed=seed))
            seeds.append(judge(parts, *logits))
            show(f"  MiniLM, seed {seed}", seeds[-1])
        print("  " + verdict(seeds))


def read(name: str, sizes: dict[str, int]) -> tuple[tuple[str, ...], dict[str, Rows]]:
    """Return the classes of the training rows, and the rows of each purpose, chosen by hashes of texts."""
    distinct = dict(READERS[name]())
    rows = sorted(distinct.items(), key=lambda row: hashlib.sha256(row[0].encode()).digest())
    classes = tuple(sorted({label for _, label in rows[: sizes["rows"]]}))
    parts, start = {}, 0
    for purpose, size in sizes.items():
        known = [row for row in rows[start : start + size] if row[1] in classes]
        labels = np.array([classes.index(label) for _, label in known])
        parts[purpose] = Rows([text for text, _ in known], labels)
        start += size
    return classes, parts


def fine_tuned(
    name: str, classes: tuple[str, ...], parts: dict[str, Rows], params: Params
) -> tuple[np.ndarray, np.ndarray]:
    """Return the logits of the validation and of the test rows; the model is trained if it was not before."""
    rows = [len(part.texts) for part in parts.values()]
    key = hashlib.sha256(repr((name, rows, params, WEIGHTS, MAX_LENGTH)).encode()).hexdigest()[:12]
    path = CACHE / f"{name}-{key}.npz"
    if not path.is_file():
        encoder = find_pretrained(WEIGHTS)
        splits = dict(tokenized(parts))
        origin = make_manifest(WEIGHTS, encoder, classes, MAX_LENGTH)
        resolved, _ = resolve_settings(params, encoder, origin, rows=len(parts["rows"].texts))
        model = prepare(encoder, origin, resolved, torch.device("cpu"))
        with tempfile.TemporaryDirectory() as scratch:
            train = {"train": splits["rows"], "validation": splits["validation"]}
            list(fine_tune(model, train, resolved, Checkpoints("calibration", Path(scratch))))
        found = {
            purpose: predict(model, splits[purpose], 64, collate_for(model))
            for purpose in ("validation", "test")
        }
        CACHE.mkdir(parents=True, exist_ok=True)
        with path.with_suffix(".new").open("wb") as file:
            np.savez(file, **found)
        path.with_suffix(".new").rename(path)
    with np.load(path) as kept:
        return kept["validation"], kept["test"]


def tokenized(parts: dict[str, Rows]) -> Iterator[tuple[str, TokenizedSplit]]:
    truncator = Truncator(find_pretrained(WEIGHTS), max_length=MAX_LENGTH, long_texts="head", stride=0)
    for purpose, part in parts.items():
        encoded = truncator.encode(part.texts)
        yield (
            purpose,
            TokenizedSplit(input_ids=encoded.input_ids, offsets=encoded.offsets, labels=part.labels),
        )


def judge(parts: dict[str, Rows], validation: np.ndarray, test: np.ndarray) -> Judged:
    """Return how a temperature that is fitted to the validation rows does on the test rows."""
    temperature = fit_temperature(validation, parts["validation"].labels)
    test = test.astype(np.float64)  # so that T = 1 changes no bit
    after = softmax(test / temperature.values_C, axis=1)
    return compared(temperature, parts["test"].labels, softmax(test, axis=1), after)


def judge_baseline(classes: tuple[str, ...], parts: dict[str, Rows]) -> Judged:
    """Return how the temperature of TF-IDF, from its out-of-fold predictions, does on the test rows."""
    params, (texts, labels) = load_params(Baseline), parts["rows"]
    names = [classes[i] for i in labels]
    ids = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
    out_of_fold = predict_out_of_fold(texts, names, ids, params)
    temperature = fit_out_of_fold(out_of_fold, labels)
    model = fit_baseline(texts, names, params)
    model.scale_logits(1 / temperature.values_C)
    after = model.probabilities(parts["test"].texts)
    before = undo(after, temperature, multi_label=False)
    return compared(temperature, parts["test"].labels, before, after)


def compared(temperature: Temperature, expected: np.ndarray, before: np.ndarray, after: np.ndarray) -> Judged:
    numbers = [calibration_numbers(expected, each, **SETTINGS) for each in (before, after)]
    return Judged(
        float(temperature.values_C[0]),
        *(max(0.0, each["calibration_error"] - each["calibration_floor"]) for each in numbers),
        *(each["log_loss"] for each in numbers),
        log_loss_difference(expected, after, before, **SETTINGS),
    )


def show(name: str, judged: Judged) -> None:
    change = judged.change
    print(
        f"{name:32}{judged.temperature:6.2f}{judged.excess_before:13.4f} -> {judged.excess_after:.4f}"
        f"{judged.loss_before:10.4f} -> {judged.loss_after:.4f}"
        f"   {change.value:+.4f} ({change.low:+.4f} to {change.high:+.4f})",
        flush=True,
    )


def verdict(seeds: list[Judged]) -> str:
    """Return the means over the seeds, and whether the bars are met."""
    before, after, change = (
        statistics.fmean(values)
        for values in zip(*((s.excess_before, s.excess_after, s.change.value) for s in seeds), strict=True)
    )
    halved = "small" if before < ENOUGH else "halved" if after <= before / 2 else "NOT HALVED"
    risen = "not risen" if all(s.change.low <= 0 for s in seeds) else "RISEN"
    return f"mean: excess {before:.4f} -> {after:.4f} ({halved}), log-loss {change:+.4f} ({risen})"


if __name__ == "__main__":
    main()
