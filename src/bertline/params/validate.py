"""The `validate` section of params.yaml; the comments there say what each knob does."""

from dataclasses import dataclass

from bertline.params.bounds import STRICT, require


@dataclass(frozen=True, kw_only=True)
class Params:
    """What a row and a batch must meet."""

    __pydantic_config__ = STRICT

    labels: list[str] | None
    min_characters: int
    max_characters: int
    min_rows: int
    min_rows_per_class: int
    max_quarantined: float

    def __post_init__(self) -> None:
        if self.labels is not None:
            distinct = len(set(self.labels))
            require(
                "labels",
                self.labels,
                distinct == len(self.labels) >= 2,
                "null, or at least two distinct labels",
            )
        require("min_characters", self.min_characters, self.min_characters >= 1, ">= 1")
        bound = f">= min_characters ({self.min_characters})"
        require("max_characters", self.max_characters, self.max_characters >= self.min_characters, bound)
        require("min_rows", self.min_rows, self.min_rows >= 1, ">= 1")
        require("min_rows_per_class", self.min_rows_per_class, self.min_rows_per_class >= 1, ">= 1")
        require("max_quarantined", self.max_quarantined, 0 <= self.max_quarantined < 1, "0 <= share < 1")
