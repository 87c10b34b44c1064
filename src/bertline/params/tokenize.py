"""The `tokenize` section of params.yaml; the comments there explain each setting."""

from dataclasses import dataclass
from typing import Literal

from bertline.core.bounds import STRICT, require

LongTexts = Literal["head", "tail", "head_tail", "windows"]


@dataclass(frozen=True, kw_only=True)
class Params:
    """The encoder whose tokenizer cuts the text, and how much of it is read."""

    __pydantic_config__ = STRICT

    weights: str
    vocabulary: int | None
    max_length: int
    long_texts: LongTexts
    stride: int

    def __post_init__(self) -> None:
        require("weights", self.weights, bool(self.weights), "a local folder, a hub name or sample:NAME")
        size = self.vocabulary
        require("vocabulary", size, size is None or size >= 100, "null, or >= 100 tokens")
        require("max_length", self.max_length, 8 <= self.max_length <= 8192, "8 to 8192 tokens")
        require("stride", self.stride, self.stride >= 0, ">= 0")
        less = self.long_texts != "windows" or self.stride < self.max_length // 2
        require("stride", self.stride, less, "0 to under half of max_length")
