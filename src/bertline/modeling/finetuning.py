"""Put a fine-tuning together from its parameters: the model, its strategies, its task.

Everything that changes the model stands here, in the order in which it must happen.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel

from bertline.modeling import lora
from bertline.modeling.activations import cached
from bertline.modeling.batches import pick_collate
from bertline.modeling.checkpoints import Checkpoints
from bertline.modeling.classification import Classification, predict
from bertline.modeling.encoder import (
    build_classifier,
    checkpoint_gradients,
    longest_text,
    make_deterministic,
)
from bertline.modeling.history import Epoch, Step
from bertline.modeling.strategies import depths, freeze, keep_layers, reinitialize
from bertline.modeling.tokens import Manifest, TokenizedSplit
from bertline.modeling.training import train
from bertline.modeling.unpadded import enable
from bertline.params.finetune import Params


def prepare(encoder: Path, manifest: Manifest, params: Params, device: torch.device) -> PreTrainedModel:
    """Return the classifier that is to be trained, on `device`; the same bits for the same arguments.

    Raises:
        ValueError: the encoder cannot be loaded, or does not allow a strategy of `params`.
    """
    make_deterministic(params.seed, params.threads)
    model = build_classifier(encoder, manifest.classes, multi_label=manifest.multi_label)
    limit = longest_text(model)
    if limit is not None and manifest.max_length > limit:
        raise ValueError(
            f"tokenize.max_length is {manifest.max_length}; {manifest.weights} reads {limit} tokens"
        )
    keep_layers(model, params.layers)
    layers, frozen = model.config.num_hidden_layers, params.frozen_layers or 0
    if params.reinit_layers and frozen + params.reinit_layers > layers:
        raise ValueError(
            f"{frozen} frozen layers and {params.reinit_layers} drawn anew overlap, of {layers}; "
            "lower frozen_layers or reinit_layers"
        )
    reinitialize(model, params.reinit_layers)
    freeze(model, params.frozen_layers)
    lora.add(model, params.lora_rank)
    if params.layer_decay < 1 or params.unfreeze_epochs:
        depths(model)  # here, where the model is still whole
    if params.gradient_checkpointing:
        checkpoint_gradients(model)
    if params.unpadded:
        enable(model)  # on the CPU, where rounding is small
    return model.to(device)


def teach(
    teacher: PreTrainedModel, split: TokenizedSplit, params: Params, device: torch.device
) -> np.ndarray:
    """Return the logits of `teacher` for every row of `split`, float32 [N, C].

    Raises:
        ValueError: `teacher` cannot read texts as long, or what it says of them is not a number.
    """
    limit, longest = longest_text(teacher), int(np.diff(split.offsets).max())
    if limit is not None and longest > limit:
        raise ValueError(f"the teacher reads {limit} tokens, but the training split has texts of {longest}")
    collate = pick_collate(teacher, unpadded=params.unpadded)
    logits_NC = predict(teacher.to(device), split, params.rows_at_once, collate)
    if not np.isfinite(logits_NC).all():
        raise ValueError("the teacher's logits are not all numbers; fine-tune it anew")
    return logits_NC


def fine_tune(
    model: PreTrainedModel,
    splits: dict[str, TokenizedSplit],
    params: Params,
    checkpoints: Checkpoints,
    teacher_NC: np.ndarray | None = None,
) -> Iterator[Step | Epoch]:
    """Train `model`, which `prepare` made, on `splits`; yield as `training.train` does.

    When the iterator ends, `model` is a standard Hugging Face model with the weights of the best epoch.
    """
    collate = pick_collate(model, unpadded=params.unpadded)
    with ExitStack() as stack:
        if params.cache_activations and not checkpoints.ended:
            collate = stack.enter_context(cached(model, splits, params, collate))
        task = Classification(splits, params, collate, teacher_NC)
        yield from train(model, task, params, checkpoints)
    lora.merge(model)
