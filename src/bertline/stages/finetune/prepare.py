"""Put a fine-tuning together from its parameters: the model, its strategies, its task.

Everything that changes the model stands here, in the order in which it must happen.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel

from bertline.encoder.classifier import build_classifier
from bertline.encoder.collate import collate_for
from bertline.encoder.layers import enable_gradient_checkpointing, measure_depths
from bertline.encoder.load import load_config
from bertline.encoder.unpadding import enable_unpadding
from bertline.params.finetune import Params, Resolved
from bertline.stages.finetune import lora
from bertline.stages.finetune.frozen_cache import frozen_layer_cache
from bertline.stages.finetune.layers import drop_layers, freeze, needs_depths, reinitialize
from bertline.stages.finetune.recipe import resolve
from bertline.stages.finetune.task import Classification, predict
from bertline.tokens.arrays import TokenizedSplit
from bertline.tokens.manifest import Manifest
from bertline.tokens.pretrained import max_positions
from bertline.training.checkpoints import Checkpoints
from bertline.training.determinism import make_deterministic
from bertline.training.history import Epoch, Step
from bertline.training.loop import train


def resolve_settings(
    params: Params, encoder: Path, manifest: Manifest, *, rows: int
) -> tuple[Resolved, list[str]]:
    """Return `params` in numbers for `rows` training rows, and a line about each setting that was auto.

    Raises:
        ValueError: `encoder` holds no config, or the epochs do not fit the other settings.
    """
    config, classes = load_config(encoder), len(manifest.classes)
    size = {"layers": config.num_hidden_layers, "hidden_size": config.hidden_size}
    return resolve(params, rows=rows, classes=classes, **size)


def prepare(encoder: Path, manifest: Manifest, params: Params, device: torch.device) -> PreTrainedModel:
    """Return the classifier that is to be trained, on `device`; the same bits for the same arguments.

    Raises:
        ValueError: the encoder cannot be loaded, or does not allow a strategy of `params`.
    """
    make_deterministic(params.seed, params.threads)
    model = build_classifier(encoder, manifest.classes, multi_label=manifest.multi_label)
    limit = max_positions(model.config.to_dict())
    if limit is not None and manifest.max_length > limit:
        raise ValueError(
            f"tokenize.max_length is {manifest.max_length}; {manifest.weights} reads {limit} tokens"
        )
    drop_layers(model, params.layers)
    layers, frozen = model.config.num_hidden_layers, params.frozen_layers or 0
    if params.reinit_layers and frozen + params.reinit_layers > layers:
        raise ValueError(
            f"{frozen} frozen layers and {params.reinit_layers} re-initialised ones overlap, of {layers}; "
            "lower frozen_layers or reinit_layers"
        )
    if needs_depths(params):
        depths = measure_depths(model)
        reinitialize(model, params.reinit_layers, depths)
        freeze(model, params.frozen_layers, depths)
        lora.add(model, params.lora_rank, depths)
    if params.gradient_checkpointing:
        enable_gradient_checkpointing(model)
    if params.unpadded:
        enable_unpadding(model)  # on the CPU, where rounding is small
    return model.to(device)


def teacher_logits(
    teacher: PreTrainedModel, split: TokenizedSplit, params: Params, device: torch.device
) -> np.ndarray:
    """Return the logits of `teacher`, which is on the CPU, for every row of `split`, float32 [N, C].

    Raises:
        ValueError: `teacher` cannot read texts as long, or its logits are not all numbers.
    """
    limit, longest = max_positions(teacher.config.to_dict()), int(np.diff(split.offsets).max())
    if limit is not None and longest > limit:
        raise ValueError(f"the teacher reads {limit} tokens, but the training split has texts of {longest}")
    if params.unpadded:
        enable_unpadding(teacher)
    logits_NC = predict(teacher.to(device), split, params.rows_at_once, collate_for(teacher))
    if not np.isfinite(logits_NC).all():
        raise ValueError("the teacher's logits are not all numbers; fine-tune it again")
    return logits_NC


def fine_tune(
    model: PreTrainedModel,
    splits: dict[str, TokenizedSplit],
    params: Resolved,
    checkpoints: Checkpoints,
    teacher_logits_NC: np.ndarray | None = None,
) -> Iterator[Step | Epoch]:
    """Train `model`, which `prepare` made, on `splits`; yield as `training.train` does.

    When the iterator ends, `model` is a standard Hugging Face model with the weights of the best epoch.
    """
    collate = collate_for(model)
    by_depth = params.layer_decay < 1 or params.unfreeze_epochs
    depths = measure_depths(model) if by_depth else None  # here: `train` may shard the model
    with ExitStack() as stack:
        if params.cache_activations and not checkpoints.finished:
            cache = frozen_layer_cache(model, splits, params, collate)
            splits, collate = stack.enter_context(cache)
        task = Classification(splits, params, collate, teacher_logits_NC, depths)
        yield from train(model, task, params, checkpoints)
    lora.merge(model)
