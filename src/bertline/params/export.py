"""The `export` section of params.yaml; the comments there explain each setting."""

from dataclasses import dataclass

from bertline.core.bounds import STRICT, require


@dataclass(frozen=True, kw_only=True)
class Params:
    """Which file may be served, and when an answer is refused."""

    __pydantic_config__ = STRICT

    onnx: bool
    reduce_range: bool
    max_flips: float
    max_loss: float
    target_precision: float
    max_refused: float
    rows: int
    batch_size: int
    threads: int
    resamples: int
    confidence: float
    seed: int

    def __post_init__(self) -> None:
        require("max_flips", self.max_flips, 0 <= self.max_flips <= 1, "0 <= share <= 1")
        require("max_loss", self.max_loss, 0 <= self.max_loss <= 1, "0 <= share <= 1")
        require("target_precision", self.target_precision, 0 < self.target_precision < 1, "0 < share < 1")
        require("max_refused", self.max_refused, 0 <= self.max_refused < 1, "0 <= share < 1")
        require("rows", self.rows, self.rows >= 1, ">= 1")
        require("batch_size", self.batch_size, self.batch_size >= 1, ">= 1")
        require("threads", self.threads, self.threads >= 1, ">= 1")
        require("resamples", self.resamples, self.resamples >= 100, ">= 100")
        require("confidence", self.confidence, 0.5 <= self.confidence < 1, "0.5 <= level < 1")
        require("seed", self.seed, self.seed >= 0, ">= 0")
