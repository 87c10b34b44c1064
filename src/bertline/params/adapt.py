"""The `adapt` section of params.yaml; the comments there say what each knob does."""

from dataclasses import dataclass
from typing import Literal

from bertline.params.bounds import require
from bertline.params.training import Training


@dataclass(frozen=True, kw_only=True)
class Params(Training):
    """How the encoder goes on learning from the texts alone."""

    objective: Literal["none", "mlm", "mlm_nsp"]
    masked: float
    whole_words: bool
    fresh: bool

    def __post_init__(self) -> None:
        super().__post_init__()
        require("masked", self.masked, 0 < self.masked < 1, "0 < share < 1")
        off = self.objective == "none"
        require("fresh", self.fresh, not (off and self.fresh), "false where objective is none")
