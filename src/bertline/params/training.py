"""The settings of every training: the fields that `finetune` and `adapt` share."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from bertline.core.bounds import STRICT, require


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a model is optimised; the comments in params.yaml explain each setting."""

    __pydantic_config__ = STRICT
    RENAMED: ClassVar = {
        "averaging": "ema_decay",
        "sharding": "parallelism",
        "replicate": "ddp",
        "shard": "fsdp",
    }

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
        require("epochs", self.epochs, self.epochs >= 1, ">= 1")
        require("batch_size", self.batch_size, self.batch_size >= 1, ">= 1")
        micro, allowed = self.micro_batch, f"null, or 1 to batch_size ({self.batch_size})"
        require("micro_batch", micro, micro is None or 1 <= micro <= self.batch_size, allowed)
        require("learning_rate", self.learning_rate, 0 < self.learning_rate <= 1, "0 < rate <= 1")
        require("warmup", self.warmup, 0 <= self.warmup < 1, "0 <= share < 1")
        require("weight_decay", self.weight_decay, 0 <= self.weight_decay < 1, "0 <= decay < 1")
        require("max_grad_norm", self.max_grad_norm, self.max_grad_norm > 0, "> 0")
        decay = self.ema_decay
        require("ema_decay", decay, decay is None or 0 < decay < 1, "null, or 0 < decay < 1")
        patience, allowed = self.patience, f"null, or 1 to under epochs ({self.epochs})"
        require("patience", patience, patience is None or 1 <= patience < self.epochs, allowed)
        require("threads", self.threads, self.threads >= 1, ">= 1")
        require("processes", self.processes, self.processes >= 1, ">= 1")
        several = self.parallelism == "ddp" or self.processes > 1
        require("parallelism", self.parallelism, several, "ddp where processes is 1: fsdp needs several")
        require("checkpoint_every", self.checkpoint_every, self.checkpoint_every >= 1, ">= 1 step")
