"""The settings of every training: the fields that `finetune` and `adapt` share."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from bertline.core.bounds import STRICT, require

Auto = Literal["auto"]
"""A setting that its stage chooses when it knows the data and the encoder."""


@dataclass(frozen=True, kw_only=True)
class TrainingSection:
    """How a model is optimised, as params.yaml has it; the comments there explain each setting."""

    __pydantic_config__ = STRICT
    RENAMED: ClassVar = {
        "averaging": "ema_decay",
        "sharding": "parallelism",
        "replicate": "ddp",
        "shard": "fsdp",
    }

    seed: int
    epochs: int | Auto
    batch_size: int
    micro_batch: int | None
    gradient_checkpointing: bool
    learning_rate: float | Auto
    schedule: Literal["linear", "cosine", "constant", "inverse_sqrt"]
    warmup: float
    weight_decay: float
    max_grad_norm: float
    ema_decay: float | None
    patience: int | None
    unpadded: bool
    compile: bool
    cuda_graphs: bool
    device: Literal["auto", "cpu", "cuda"]
    threads: int
    processes: int
    parallelism: Literal["ddp", "fsdp"]
    checkpoint_every: int

    @property
    def rows_at_once(self) -> int:
        """Rows of a forward pass without a backward pass, which takes more than twice the memory."""
        return 2 * (self.micro_batch or self.batch_size)

    def __post_init__(self) -> None:
        require("seed", self.seed, 0 <= self.seed < 2**32, "0 to under 2**32")
        self._check_length()
        require("batch_size", self.batch_size, self.batch_size >= 1, ">= 1")
        micro, allowed = self.micro_batch, f"null, or 1 to batch_size ({self.batch_size})"
        require("micro_batch", micro, micro is None or 1 <= micro <= self.batch_size, allowed)
        require("warmup", self.warmup, 0 <= self.warmup < 1, "0 <= share < 1")
        require("weight_decay", self.weight_decay, 0 <= self.weight_decay < 1, "0 <= decay < 1")
        require("max_grad_norm", self.max_grad_norm, self.max_grad_norm > 0, "> 0")
        decay = self.ema_decay
        require("ema_decay", decay, decay is None or 0 < decay < 1, "null, or 0 < decay < 1")
        require("threads", self.threads, self.threads >= 1, ">= 1")
        require("processes", self.processes, self.processes >= 1, ">= 1")
        several = self.parallelism == "ddp" or self.processes > 1
        require("parallelism", self.parallelism, several, "ddp where processes is 1: fsdp needs several")
        require("checkpoint_every", self.checkpoint_every, self.checkpoint_every >= 1, ">= 1 step")

    def _check_length(self) -> None:
        epochs, rate, patience = self.epochs, self.learning_rate, self.patience
        require("epochs", epochs, epochs == "auto" or epochs >= 1, ">= 1")
        require("learning_rate", rate, rate == "auto" or 0 < rate <= 1, "0 < rate <= 1")
        allowed = "null, or >= 1" if epochs == "auto" else f"null, or 1 to under epochs ({epochs})"
        stops = patience is None or (patience >= 1 and (epochs == "auto" or patience < epochs))
        require("patience", patience, stops, allowed)


@dataclass(frozen=True, kw_only=True)
class Training(TrainingSection):
    """How a model is optimised, in numbers: what the training engine takes."""

    epochs: int
    learning_rate: float
