"""The `export` section of params.yaml; the comments there explain each setting."""

from dataclasses import dataclass

from bertline.core.bounds import require
from bertline.params.scoring import Scoring


@dataclass(frozen=True, kw_only=True)
class Params(Scoring):
    """Which file may be served, and when an answer is refused."""

    onnx: bool
    reduce_range: bool
    max_flips: float
    max_loss: float
    target_precision: float
    max_refused: float
    rows: int

    def __post_init__(self) -> None:
        super().__post_init__()
        require("max_flips", self.max_flips, 0 <= self.max_flips <= 1, "0 <= share <= 1")
        require("max_loss", self.max_loss, 0 <= self.max_loss <= 1, "0 <= share <= 1")
        require("target_precision", self.target_precision, 0 < self.target_precision < 1, "0 < share < 1")
        require("max_refused", self.max_refused, 0 <= self.max_refused < 1, "0 <= share < 1")
        require("rows", self.rows, self.rows >= 1, ">= 1")
