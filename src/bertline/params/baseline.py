"""The `baseline` section of params.yaml; the comments there explain each setting."""

from dataclasses import dataclass
from typing import ClassVar

from bertline.core.bounds import STRICT, require


@dataclass(frozen=True, kw_only=True)
class Params:
    """The TF-IDF and logistic-regression baseline."""

    __pydantic_config__ = STRICT
    RENAMED: ClassVar = {"regularization": "C"}

    ngrams: int
    C: float
    folds: int

    def __post_init__(self) -> None:
        require("ngrams", self.ngrams, 1 <= self.ngrams <= 5, "1 to 5")
        require("C", self.C, self.C > 0, "> 0")
        require("folds", self.folds, 2 <= self.folds <= 20, "2 to 20")
