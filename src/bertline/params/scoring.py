"""The settings of every scoring of a model: the fields that `export` and `evaluate` share."""

from dataclasses import dataclass

from bertline.core.bounds import STRICT, require


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """How predictions are made and their uncertainty is estimated; params.yaml explains each setting."""

    __pydantic_config__ = STRICT

    batch_size: int
    threads: int
    resamples: int
    confidence: float
    seed: int

    def __post_init__(self) -> None:
        require("batch_size", self.batch_size, self.batch_size >= 1, ">= 1")
        require("threads", self.threads, self.threads >= 1, ">= 1")
        require("resamples", self.resamples, self.resamples >= 100, ">= 100")
        require("confidence", self.confidence, 0.5 <= self.confidence < 1, "0.5 <= level < 1")
        require("seed", self.seed, self.seed >= 0, ">= 0")
