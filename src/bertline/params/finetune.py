"""The `finetune` section of params.yaml; the comments there say what each knob does."""

from dataclasses import dataclass
from typing import Literal

from bertline.params.bounds import STRICT, require


@dataclass(frozen=True, kw_only=True)
class Params:
    """How the encoder is fine-tuned."""

    __pydantic_config__ = STRICT

    seed: int
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    warmup: float
    max_grad_norm: float
    label_smoothing: float
    layer_decay: float
    reinit_layers: int
    frozen_layers: int | None
    select_by: Literal["macro_f1", "accuracy", "loss"]
    device: Literal["auto", "cpu", "cuda"]
    threads: int
    checkpoint_every: int

    def __post_init__(self) -> None:
        require("seed", self.seed, self.seed >= 0, ">= 0")
        require("epochs", self.epochs, self.epochs >= 1, ">= 1")
        require("batch_size", self.batch_size, self.batch_size >= 1, ">= 1")
        require("learning_rate", self.learning_rate, 0 < self.learning_rate <= 1, "0 < rate <= 1")
        require("weight_decay", self.weight_decay, 0 <= self.weight_decay < 1, "0 <= decay < 1")
        require("warmup", self.warmup, 0 <= self.warmup < 1, "0 <= share < 1")
        require("max_grad_norm", self.max_grad_norm, self.max_grad_norm > 0, "> 0")
        require("label_smoothing", self.label_smoothing, 0 <= self.label_smoothing < 1, "0 <= share < 1")
        require("layer_decay", self.layer_decay, 0 < self.layer_decay <= 1, "0 < factor <= 1")
        require("reinit_layers", self.reinit_layers, self.reinit_layers >= 0, ">= 0")
        frozen = self.frozen_layers
        require("frozen_layers", frozen, frozen is None or frozen >= 0, "null, or >= 0")
        require("threads", self.threads, self.threads >= 1, ">= 1")
        require("checkpoint_every", self.checkpoint_every, self.checkpoint_every >= 1, ">= 1 step")
