"""The `split` section of params.yaml; the comments there say what each knob does."""

from dataclasses import dataclass

from bertline.params.bounds import STRICT, require


@dataclass(frozen=True, kw_only=True)
class Params:
    """How rows are dealt to train, validation and test."""

    __pydantic_config__ = STRICT

    seed: int
    validation: float
    test: float

    def __post_init__(self) -> None:
        require("validation", self.validation, 0 < self.validation < 1, "0 < share < 1")
        require("test", self.test, 0 < self.test < 1, "0 < share < 1")
        rest = 1 - self.validation
        require("test", self.test, self.test < rest, f"< {rest:g}, so that rows are left to train on")
