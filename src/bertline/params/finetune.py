"""The `finetune` section of params.yaml; the comments there explain each setting.

`Params` is the section as it stands, with settings that may be auto. The stage turns it into `Resolved`.
"""

from dataclasses import dataclass
from typing import Literal

from bertline.core.bounds import require
from bertline.params.training import Training, TrainingSection


@dataclass(frozen=True, kw_only=True)
class Params(TrainingSection):
    """How the encoder is fine-tuned."""

    restarts: int
    loss: Literal["cross_entropy", "focal"]
    focal_gamma: float
    class_weights: Literal["none", "balanced"]
    label_smoothing: float
    r_drop: float
    distillation: float
    temperature: float
    layers: int | None
    layer_decay: float
    reinit_layers: int
    frozen_layers: int | None
    unfreeze_epochs: int
    cache_activations: bool
    lora_rank: int | None
    select_by: Literal["macro_f1", "accuracy", "loss"]

    def __post_init__(self) -> None:
        super().__post_init__()
        require("restarts", self.restarts, self.restarts >= 1, ">= 1")
        last = self.seed + self.restarts - 1
        require("restarts", self.restarts, last < 2**32, "so many that seeds stay under 2**32")
        require("focal_gamma", self.focal_gamma, 0 <= self.focal_gamma <= 100, "0 to 100")
        require("label_smoothing", self.label_smoothing, 0 <= self.label_smoothing < 1, "0 <= share < 1")
        require("r_drop", self.r_drop, 0 <= self.r_drop <= 1000, "0 to 1000")
        require("distillation", self.distillation, 0 <= self.distillation <= 1, "0 <= share <= 1")
        require("temperature", self.temperature, 0 < self.temperature <= 1000, "0 < temperature <= 1000")
        require("layer_decay", self.layer_decay, 0 < self.layer_decay <= 1, "0 < factor <= 1")
        self._check_layers()
        self._check_lora()
        self._check_unfreezing()

    def _check_unfreezing(self) -> None:
        epochs, unfreeze = self.epochs, self.unfreeze_epochs
        require("unfreeze_epochs", unfreeze, unfreeze >= 0, ">= 0")
        if epochs != "auto":
            require("unfreeze_epochs", unfreeze, unfreeze < epochs, f"0 to under epochs ({epochs})")
        unfrozen = self.patience is None or self.patience > unfreeze
        require("patience", self.patience, unfrozen, f"null, or over unfreeze_epochs ({unfreeze})")

    def _check_layers(self) -> None:
        layers, frozen, reinit = self.layers, self.frozen_layers, self.reinit_layers
        require("layers", layers, layers is None or layers >= 1, "null, or >= 1")
        require("reinit_layers", reinit, reinit >= 0, ">= 0")
        require("frozen_layers", frozen, frozen is None or frozen >= 0, "null, or >= 0")
        if layers is not None:  # otherwise only the encoder knows how many there are
            require("reinit_layers", reinit, reinit <= layers, f"0 to layers ({layers})")
            allowed = f"null, or 0 to layers ({layers}) less reinit_layers ({reinit})"
            require("frozen_layers", frozen, (frozen or 0) + reinit <= layers, allowed)
        cached = self.cache_activations
        possible = not cached or frozen is not None
        require("cache_activations", cached, possible, "false where frozen_layers is null")

    def _check_lora(self) -> None:
        rank, layers = self.lora_rank, self.layers
        require("lora_rank", rank, rank is None or rank >= 1, "null, or >= 1")
        require("lora_rank", rank, rank is None or not self.reinit_layers, "null with reinit_layers")
        trained = layers is None or (self.frozen_layers or 0) < layers
        require("lora_rank", rank, rank is None or trained, f"null where all layers ({layers}) are frozen")


@dataclass(frozen=True, kw_only=True)
class Resolved(Params, Training):
    """The same settings with a number for each that was auto; `stages.finetune.recipe` makes it."""

    epochs: int
    learning_rate: float
