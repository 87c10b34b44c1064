"""Time to equal validation accuracy: bertline's preset `fast` against Hugging Face's Trainer.

Every contender trains the encoder of params.yaml on the pipeline's own training split, in turn, one seed
after the other, and is scored on validation after each epoch. Scoring and checkpoints do not count, all else
does: the Trainer's start, the preset's cache. The Trainer groups by length, its fastest setting, and gets the
parameters of params.yaml. The target is the accuracy of the Trainer's best epoch, by the mean over seeds; a
contender's time is that of its first epoch whose mean over seeds reaches it. Needs `dvc repro tokenize`.
"""

import argparse
import logging
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from transformers import (
    AutoTokenizer,
    DataCollatorWithPadding,
    TrainerCallback,
)

from benchmarks.contenders import use_trainer
from benchmarks.training import TOKENS
from bertline.core.params_loading import load_params, read_document
from bertline.encoder.collate import collate_padded
from bertline.params.finetune import Params, Resolved
from bertline.stages.finetune.prepare import fine_tune, prepare, resolve_settings
from bertline.stages.finetune.task import predict
from bertline.tokens.arrays import TokenizedSplit, read_split
from bertline.tokens.manifest import Manifest
from bertline.tokens.pretrained import find_pretrained
from bertline.training.checkpoints import Checkpoints
from bertline.training.determinism import keep_freed_memory
from bertline.training.history import Epoch

CPU = torch.device("cpu")
ONCE = {"checkpoint_every": 10**9, "restarts": 1, "patience": None}


class Point(NamedTuple):
    """Seconds of training until the end of an epoch, and the accuracy on validation there."""

    seconds: float
    accuracy: float


class Clock(TrainerCallback):
    """Notes time and accuracy at the end of each of the Trainer's epochs."""

    def __init__(self, validation: TokenizedSplit) -> None:
        self.validation, self.points, self.start = validation, [], time.perf_counter()

    def on_epoch_end(
        self, args: object, state: object, control: object, *, model: torch.nn.Module, **_: object
    ) -> None:
        """Stop the clock, score the model on validation, and go on."""
        now = time.perf_counter()
        logits = predict(model, self.validation, 64, collate_padded(model.config))
        accuracy = float((logits.argmax(axis=1) == self.validation.labels).mean())
        self.points.append(Point(now - self.start, accuracy))
        model.train()
        self.start += time.perf_counter() - now


def trainer(
    splits: dict[str, TokenizedSplit], params: Resolved, manifest: Manifest, encoder: Path
) -> list[Point]:
    model = prepare(encoder, manifest, params, CPU)
    torch.use_deterministic_algorithms(False)  # the Trainer's default
    collate = DataCollatorWithPadding(AutoTokenizer.from_pretrained(encoder))
    clock = Clock(splits["validation"])
    use_trainer(
        model,
        splits["train"],
        params,
        collate,
        clock,
        lr_scheduler_type="linear",
        warmup_steps=params.warmup,  # a share where it is below 1
        weight_decay=params.weight_decay,
        train_sampling_strategy="group_by_length",
        seed=params.seed,
        use_cpu=True,
    )
    return clock.points


def ours(
    splits: dict[str, TokenizedSplit], params: Resolved, manifest: Manifest, encoder: Path
) -> list[Point]:
    model = prepare(encoder, manifest, params, CPU)
    points: list[Point] = []
    seconds, since = 0.0, time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        for event in fine_tune(model, splits, params, Checkpoints("benchmark", Path(scratch))):
            now = time.perf_counter()
            if isinstance(event, Epoch):  # between its last step and this lie scoring and checkpoint
                points.append(Point(seconds, event.scores["accuracy"]))
            else:
                seconds += now - since
            since = now
    return points


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3, help="seeds of each contender (default: 3)")
    parser.add_argument("--preset", default="fast", help="preset to compare (default: fast)")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    keep_freed_memory()
    manifest = Manifest.read(TOKENS)
    encoder = find_pretrained(manifest.weights)
    splits = {name: read_split(TOKENS / f"{name}.arrow") for name in ("train", "validation")}
    settings, _ = resolve_settings(load_params(Params), encoder, manifest, rows=len(splits["train"]))
    base = replace(settings, **ONCE)
    preset = read_document(Path("presets", f"{arguments.preset}.yaml"))["finetune"]
    fast = replace(base, **preset | ONCE)
    contenders = {
        "Trainer, grouped by length": (trainer, base),
        f"bertline, preset {arguments.preset}": (ours, fast),
    }
    points: dict[str, list[list[Point]]] = {name: [] for name in contenders}
    for seed in range(1, arguments.seeds + 1):
        for name, (run, params) in contenders.items():
            points[name].append(run(splits, replace(params, seed=seed), manifest, encoder))
            print(
                f"seed {seed}, {name}: "
                + ", ".join(f"{p.accuracy:.4f} at {p.seconds:.0f} s" for p in points[name][-1])
            )
    report(points)


def report(points: dict[str, list[list[Point]]]) -> None:
    """Print the table: the target, when each contender's mean reaches it, and the ratio to the Trainer."""
    means = {
        name: np.array(runs).mean(axis=0) for name, runs in points.items()
    }  # [epochs, (seconds, accuracy)]
    first = next(iter(means))
    target = means[first][:, 1].max()
    base = means[first][means[first][:, 1] >= target][0, 0]
    print(f"target: accuracy {target:.4f} on validation, mean of {len(points[first])} seeds")
    print(f"{'':28}{'best':>8}{'seconds to target':>19}{'ratio':>7}")
    for name, mean in means.items():
        reached = mean[mean[:, 1] >= target]
        when = f"{reached[0, 0]:19.1f}{base / reached[0, 0]:7.2f}" if len(reached) else f"{'not reached':>19}"
        print(f"{name:28}{mean[:, 1].max():8.4f}{when}")


if __name__ == "__main__":
    main()
