"""Fine-tune with several seeds, and choose the one that is best on validation.

Source: Dodge et al., Fine-Tuning Pretrained Language Models: Weight Initializations, Data Orders, and Early
Stopping, 2020.
"""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from transformers import PreTrainedModel

from bertline.encoder.unpadding import is_unpadding_enabled
from bertline.params.finetune import Resolved
from bertline.stages.finetune.frozen_cache import disk_bytes
from bertline.stages.finetune.prepare import fine_tune, prepare
from bertline.tokens.arrays import TokenizedSplit
from bertline.tokens.manifest import Manifest
from bertline.training.checkpoints import Checkpoints
from bertline.training.history import Epoch, Step, best_epoch
from bertline.training.loop import TrainingDivergedError
from bertline.training.lr_schedule import total_steps
from bertline.training.session import Session


class Trained(NamedTuple):
    """The result of one seed."""

    seed: int
    best: Epoch
    model: PreTrainedModel
    events: list[Step | Epoch]


def train_with_restarts(
    session: Session,
    encoder: Path,
    manifest: Manifest,
    splits: dict[str, TokenizedSplit],
    params: Resolved,
    teacher_logits_NC: np.ndarray | None = None,
) -> Trained:
    """Train once for each of the seeds `params.seed`, `params.seed + 1`, ..., and return the best training.

    The first of equally good seeds wins. A seed whose training diverges is left out.

    Raises:
        TrainingDivergedError: the trainings of all seeds diverged.
    """
    steps = total_steps(len(splits["train"]), params)
    best, diverged = None, None
    for seed in range(params.seed, params.seed + params.restarts):
        seeded = replace(params, seed=seed)
        checkpoints = session.open_checkpoints(str(seed))
        model = prepare(encoder, manifest, seeded, session.device)
        session.announce(*_news(checkpoints, model, seeded, splits))
        try:
            events = session.follow(fine_tune(model, splits, seeded, checkpoints, teacher_logits_NC), steps)
        except TrainingDivergedError as error:
            diverged = error
            if params.restarts > 1:
                session.announce(f"seed {seed} is left out: {error}")
            continue
        epoch = best_epoch(events, params.select_by)
        assert epoch is not None, "at least one epoch is asked for"
        if best is None or epoch.better_than(best.best, params.select_by):
            best = Trained(seed, epoch, model, events)
    if best is None:
        assert diverged is not None, "a training that led to nothing has diverged"
        raise diverged
    return best


def _news(
    checkpoints: Checkpoints, model: PreTrainedModel, params: Resolved, splits: dict[str, TokenizedSplit]
) -> list[str]:
    """Return the lines that tell a person how a training starts."""
    if checkpoints.finished:
        return [f"seed {params.seed} has been trained to its end before"]
    lines = []
    if checkpoints.found:
        lines.append("continuing from the checkpoint of an interrupted run")
    if params.unpadded and not is_unpadding_enabled(model):
        lines.append("this encoder cannot run unpadded: texts of like length are padded to the longest")
    if params.cache_activations:
        size = disk_bytes(model, splits) / 1e9
        lines.append(f"keeping the states of the frozen layers on disk: {size:.2f} GB")
    return lines
