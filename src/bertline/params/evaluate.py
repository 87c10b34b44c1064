"""The `evaluate` section of params.yaml; the comments there explain each setting."""

from dataclasses import dataclass

from bertline.core.bounds import require
from bertline.params.scoring import Scoring


@dataclass(frozen=True, kw_only=True)
class Params(Scoring):
    """How the candidate and the baseline are scored."""

    sample_rows: int
    behaviour_rows: int

    def __post_init__(self) -> None:
        super().__post_init__()
        require("behaviour_rows", self.behaviour_rows, self.behaviour_rows >= 1, ">= 1")
        require("sample_rows", self.sample_rows, self.sample_rows >= 1, ">= 1")
