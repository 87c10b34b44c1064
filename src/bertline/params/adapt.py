"""The `adapt` section of params.yaml; the comments there explain each setting."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from bertline.core.bounds import require
from bertline.params.training import Training


@dataclass(frozen=True, kw_only=True)
class Params(Training):
    """How the encoder goes on learning from the texts alone."""

    RENAMED: ClassVar = Training.RENAMED | {"masked": "mlm_probability"}

    objective: Literal["none", "mlm", "mlm_nsp"]
    mlm_probability: float
    whole_words: bool
    fresh: bool

    def __post_init__(self) -> None:
        super().__post_init__()
        require("mlm_probability", self.mlm_probability, 0 < self.mlm_probability < 1, "0 < share < 1")
        off = self.objective == "none"
        require("fresh", self.fresh, not (off and self.fresh), "false where objective is none")
