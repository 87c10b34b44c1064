"""The `promote` section of params.yaml; the comments there explain each setting."""

from dataclasses import dataclass

from bertline.core.bounds import STRICT, require


@dataclass(frozen=True, kw_only=True)
class Params:
    """The gates a candidate must pass, and where the version goes."""

    __pydantic_config__ = STRICT

    min_accuracy: float
    min_gain_over_baseline: float
    max_loss_to_champion: float
    resamples: int
    confidence: float
    seed: int
    push: str | None

    def __post_init__(self) -> None:
        require("min_accuracy", self.min_accuracy, 0 <= self.min_accuracy <= 1, "0 to 1")
        gain = self.min_gain_over_baseline
        require("min_gain_over_baseline", gain, -1 <= gain <= 1, "-1 to 1")
        loss = self.max_loss_to_champion
        require("max_loss_to_champion", loss, 0 <= loss <= 1, "0 to 1")
        require("resamples", self.resamples, self.resamples >= 100, ">= 100")
        require("confidence", self.confidence, 0.5 <= self.confidence < 1, "0.5 <= level < 1")
        require("seed", self.seed, self.seed >= 0, ">= 0")
        require("push", self.push, self.push != "", "the name of a git remote, or null")
