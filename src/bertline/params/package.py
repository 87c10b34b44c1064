"""The `package` section of params.yaml; the comments there explain each setting."""

from dataclasses import dataclass

from bertline.core.bounds import STRICT, require


@dataclass(frozen=True, kw_only=True)
class Params:
    """What the model card shows."""

    __pydantic_config__ = STRICT

    examples: int

    def __post_init__(self) -> None:
        require("examples", self.examples, 0 <= self.examples <= 10, "0 to 10")
