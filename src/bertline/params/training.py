"""What every training has in common: the fields that `finetune` and `adapt` share."""

from dataclasses import dataclass
from typing import Literal

from bertline.params.bounds import STRICT, require


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a model is optimised; the comments in params.yaml say what each knob does."""

    __pydantic_config__ = STRICT

    seed: int
    epochs: int
    batch_size: int
    micro_batch: int | None
    gradient_checkpointing: bool
    learning_rate: float
    schedule: Literal["linear", "cosine", "constant", "inverse_sqrt"]
    warmup: float
    weight_decay: float
    max_grad_norm: float
    averaging: float | None
    patience: int | None
    unpadded: bool
    compile: bool
    cuda_graphs: bool
    device: Literal["auto", "cpu", "cuda"]
    threads: int
    processes: int
    sharding: Literal["replicate", "shard"]
    checkpoint_every: int

    @property
    def rows_at_once(self) -> int:
        """Rows of a forward pass without a backward pass, which takes more than twice the memory."""
        return 2 * (self.micro_batch or self.batch_size)

    def __post_init__(self) -> None:
        require("seed", self.seed, 0 <= self.seed < 2**32, "0 to under 2**32")
        require("epochs", self.epochs, self.epochs >= 1, ">= 1")
        require("batch_size", self.batch_size, self.batch_size >= 1, ">= 1")
        micro = self.micro_batch
        require("micro_batch", micro, micro is None or micro >= 1, "null, or >= 1")
        require("learning_rate", self.learning_rate, 0 < self.learning_rate <= 1, "0 < rate <= 1")
        require("warmup", self.warmup, 0 <= self.warmup < 1, "0 <= share < 1")
        require("weight_decay", self.weight_decay, 0 <= self.weight_decay < 1, "0 <= decay < 1")
        require("max_grad_norm", self.max_grad_norm, self.max_grad_norm > 0, "> 0")
        average = self.averaging
        require("averaging", average, average is None or 0 < average < 1, "null, or 0 < decay < 1")
        require("patience", self.patience, self.patience is None or self.patience >= 1, "null, or >= 1")
        require("threads", self.threads, self.threads >= 1, ">= 1")
        require("processes", self.processes, self.processes >= 1, ">= 1")
        require("checkpoint_every", self.checkpoint_every, self.checkpoint_every >= 1, ">= 1 step")
