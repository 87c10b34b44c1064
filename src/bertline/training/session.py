"""The steps around a training that both stages share: processes, determinism, checkpoints, reports."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedModel

from bertline.core.files import content_hash
from bertline.encoder.classifier import save_classifier
from bertline.encoder.oom import memory_errors
from bertline.encoder.precision import pick_device
from bertline.params.training import TrainingSection
from bertline.tokens.manifest import Manifest
from bertline.training.checkpoints import SCRATCH, Checkpoints, only_training, training_code
from bertline.training.determinism import keep_freed_memory, make_deterministic, runtime
from bertline.training.history import Epoch, Step
from bertline.training.launcher import launch
from bertline.training.process_group import World, process_group
from bertline.training.progress import show_progress, write_curves, write_summary


@dataclass(frozen=True)
class Session:
    """The run of a training stage in one process.

    Attributes:
        stage: its name.
        report: the folder of curves and summary.
        world: all processes of the training.
        device: where this process trains.
        facts: what, besides data, code and parameters, decides the bits of the result.
        key: stands for everything that the result depends on.
    """

    stage: str
    report: Path
    world: World
    device: torch.device
    facts: dict[str, str | int]
    key: str

    def open_checkpoints(self, name: str = "") -> Checkpoints:
        """Return the checkpoints of the training `name`; process 0 tidies the scratch folder first."""
        with self.world.main_first():
            return Checkpoints(self.key, SCRATCH / self.stage, name)

    def follow(self, events: Iterable[Step | Epoch], total_steps: int) -> list[Step | Epoch]:
        """Return all events of a training, and show them as they come, in process 0."""
        return show_progress(events, total_steps, self.report) if self.world.is_main else list(events)

    def announce(self, *lines: str) -> None:
        """Print lines, in process 0 only."""
        if self.world.is_main:
            for line in lines:
                print(line, flush=True)

    def save(self, model: PreTrainedModel, manifest: Manifest, tokens: Path, out: Path) -> dict[str, str]:
        """Write `model` and the tokenizer of `tokens` to `out`; return which weights it started from."""
        save_classifier(model, tokens, manifest.max_length, out)
        return {"weights": manifest.weights, "weights_sha256": manifest.weights_sha256}

    def write_report(self, events: list[Step | Epoch], select_by: str, **facts: object) -> None:
        """Write the curves, and the best epoch with `facts` as the summary."""
        write_curves(events, self.report)
        write_summary(events, select_by, self.report, **facts)


def run_session(
    stage: str, params: TrainingSection, inputs: list[Path], report: Path, train: Callable[[Session], None]
) -> None:
    """Call `train` in this process, or in each of `params.processes` processes.

    Args:
        stage: its name; it decides the code that checkpoints depend on.
        params: of the stage's section.
        inputs: files and folders that the result depends on.
        report: where curves and summary go.
        train: builds, trains, and writes in process 0. Torch is seeded before it is called.

    Raises:
        ValueError: another training of the stage is running, or the processes differ.
        OutOfMemoryError: memory ran out for more than the texts of a step.
        As `launch` and `process_group`.
    """
    if launch(params):
        return
    scratch = SCRATCH / stage
    with memory_errors(), process_group(params) as world, only_training(scratch, world):
        device = pick_device(params.device)
        keep_freed_memory()
        make_deterministic(params.seed, params.threads)
        facts = runtime(device) | {"processes": world.size}
        key = content_hash(repr(params), json.dumps(facts), *inputs, *training_code(stage))
        world.check_same(key)
        train(Session(stage, report, world, device, facts, key))
