"""Trainings that are killed again and again: real processes, real SIGKILLs, until one gets through."""

import hashlib
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bertline.params.finetune import Params
from bertline.stages.finetune.prepare import fine_tune, prepare
from bertline.tokens.arrays import TokenizedSplit
from bertline.tokens.manifest import Manifest
from bertline.training.checkpoints import Checkpoints
from bertline.training.history import Step
from tests.support.forks import fork
from tests.support.tiny import CLASSES, make_texts, save_bert

CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "regularised": {
        "ema_decay": 0.9,
        "patience": 2,
        "class_weights": "balanced",
        "r_drop": 1.0,
        "micro_batch": 5,
        "select_by": "loss",
    },
    "unfrozen": {
        "unpadded": False,
        "unfreeze_epochs": 2,
        "layer_decay": 0.8,
        "schedule": "cosine",
        "loss": "focal",
        "label_smoothing": 0.1,
        "ema_decay": 0.8,
    },
    "cheap": {"frozen_layers": 1, "lora_rank": 2, "distillation": 0.5, "gradient_checkpointing": True},
}


@dataclass(frozen=True)
class Training:
    """A training that any process can start or continue; what it ends with goes to `result`."""

    encoder: Path
    manifest: Manifest
    splits: dict[str, TokenizedSplit]
    params: Params
    scratch: Path
    taught: np.ndarray | None

    @property
    def result(self) -> Path:
        return self.scratch.with_suffix(".json")

    def run(self, end: "End | None" = None) -> None:
        model = prepare(self.encoder, self.manifest, self.params, torch.device("cpu"))
        checkpoints = Checkpoints("run", self.scratch)
        events = []
        for event in fine_tune(model, self.splits, self.params, checkpoints, self.taught):
            events.append(repr(event))
            if end is not None and isinstance(event, Step) and event.step == end[1]:
                end[0]()
        weights = b"".join(tensor.numpy().tobytes() for tensor in model.state_dict().values())
        self.result.write_text(json.dumps([hashlib.sha256(weights).hexdigest(), events]))


End = tuple[Callable[[], None], int]
"""The ways in which a process ends itself, and after which step."""


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_on(event: str, name: str) -> None:
    """Kill this process when it is about to do `event` to a file called `name`."""

    def hook(audited: str, arguments: tuple[object, ...]) -> None:
        if audited == event and str(arguments[0]).endswith(name):
            kill()

    sys.addaudithook(hook)


def end_at_first_byte() -> None:
    """Let the kernel end this process when it makes a file larger than nothing."""
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


ENDS: list[Callable[[], None]] = [
    kill,
    end_at_first_byte,
    partial(kill_on, "open", ".safetensors.new"),  # before a checkpoint is written
    partial(kill_on, "os.chmod", ".safetensors.new"),  # before it is synced
    partial(kill_on, "os.rename", ".safetensors.new"),  # before it gets its name
]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save an encoder whose checkpoints take long enough to write for a kill to come in between."""
    folder = tmp_path_factory.mktemp("encoder")
    save_bert(folder, vocab_size=20_000, max_position_embeddings=32)
    return folder


@pytest.fixture
def training(
    encoder: Path,
    manifest: Manifest,
    tokenized: Callable[..., TokenizedSplit],
    params: Callable[..., Params],
    tmp_path: Path,
) -> Callable[..., Training]:
    rows = make_texts(80)
    splits = {"train": tokenized(rows[:60]), "validation": tokenized(rows[60:])}
    taught = np.random.default_rng(0).standard_normal((60, len(CLASSES))).astype(np.float32)

    def training(name: str, **knobs: object) -> Training:
        settings = params(device="cpu", epochs=3, checkpoint_every=3, **knobs)
        return Training(encoder, manifest, splits, settings, tmp_path / name, taught)

    return training


def finish(training: Training) -> list[Any]:
    """Run `training` in a process of its own until it ends by itself, and return its result."""
    process = fork(training.run)
    process.join()
    assert process.exitcode == 0
    result: list[Any] = json.loads(training.result.read_text())
    return result


STEPS = 3 * 8


@pytest.mark.parametrize("knobs", CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())
def test_killed_at_random_steps_and_in_every_part_of_a_write_it_ends_in_the_same_bits(
    training: Callable[..., Training], knobs: dict[str, Any]
) -> None:
    whole, cut = finish(training("whole", **knobs)), training("cut", **knobs)
    draw = random.Random(repr(knobs))
    later = [*ENDS, kill, kill]
    draw.shuffle(later)
    after = sorted(draw.sample(range(STEPS // 3, STEPS - 3), len(later)))
    first = (partial(kill_on, "os.rename", ".best.safetensors.new"), draw.randint(1, STEPS // 3 - 1))
    for end in [first, *zip(later, after, strict=True)]:
        process = fork(cut.run, end)
        process.join()
        assert process.exitcode in (-signal.SIGKILL, -signal.SIGXFSZ), end
        assert not cut.result.exists()
    assert finish(cut) == whole


@pytest.mark.parametrize("knobs", CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())
def test_killed_at_random_moments_it_ends_in_the_same_bits(
    training: Callable[..., Training], knobs: dict[str, Any]
) -> None:
    since = time.monotonic()
    whole, cut = finish(training("whole", **knobs)), training("cut", **knobs)
    duration, draw = time.monotonic() - since, random.Random(repr(knobs))
    for _ in range(5):
        process = fork(cut.run)
        process.join(draw.uniform(0, duration))
        process.kill()
        process.join()
    assert finish(cut) == whole


def test_killed_while_it_writes_it_ends_in_the_same_bits_and_leaves_nothing_behind(
    training: Callable[..., Training],
) -> None:
    whole, cut = finish(training("whole", ema_decay=0.9)), training("cut", ema_decay=0.9)
    torn = 0
    for _ in range(8):
        process = fork(cut.run)
        while process.is_alive() and not unfinished(cut):
            pass
        process.kill()
        process.join()
        torn += bool(unfinished(cut))
    assert torn > 0
    assert finish(cut) == whole
    assert sorted(path.name for path in (cut.scratch / "run").iterdir()) == [
        "best.safetensors",
        "finished.safetensors",
    ]


def unfinished(training: Training) -> list[Path]:
    """Return the files that a checkpoint is being written to."""
    with suppress(FileNotFoundError):
        return [p for p in (training.scratch / "run").iterdir() if p.suffix != ".safetensors"]
    return []
