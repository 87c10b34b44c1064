"""The `tokenize` section of params.yaml; the comments there say what each knob does."""

from dataclasses import dataclass
from typing import Literal

from bertline.params.bounds import STRICT, require


@dataclass(frozen=True, kw_only=True)
class Params:
    """The encoder whose tokenizer cuts the text, and how much of it is read."""

    __pydantic_config__ = STRICT

    weights: str
    vocabulary: int | None
    max_length: int
    long_texts: Literal["head", "tail", "head_tail", "windows"]
    stride: int

    def __post_init__(self) -> None:
        require("weights", self.weights, bool(self.weights), "a local folder, a hub name or sample:NAME")
        size = self.vocabulary
        require("vocabulary", size, size is None or size >= 100, "null, or >= 100 tokens")
        require("max_length", self.max_length, 8 <= self.max_length <= 8192, "8 to 8192 tokens")
        require(
            "stride", self.stride, 0 <= self.stride < self.max_length // 2, "0 to under half of max_length"
        )
