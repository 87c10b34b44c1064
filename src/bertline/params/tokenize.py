"""The `tokenize` section of params.yaml; the comments there say what each knob does."""

from dataclasses import dataclass

from bertline.params.bounds import STRICT, require


@dataclass(frozen=True, kw_only=True)
class Params:
    """The encoder whose tokenizer cuts the text, and how much of it is read."""

    __pydantic_config__ = STRICT

    weights: str
    max_length: int

    def __post_init__(self) -> None:
        require("weights", self.weights, bool(self.weights), "a local folder, a hub name or sample:NAME")
        require("max_length", self.max_length, 8 <= self.max_length <= 8192, "8 to 8192 tokens")
