"""The `ingest` section of params.yaml; the comments there say what each knob does."""

import codecs
from dataclasses import dataclass

from bertline.params.bounds import STRICT, require


@dataclass(frozen=True, kw_only=True)
class Params:
    """Where rows come from and which columns hold them."""

    __pydantic_config__ = STRICT

    source: str
    text_column: str
    label_column: str
    timestamp_column: str | None
    encoding: str

    def __post_init__(self) -> None:
        require(
            "source", self.source, bool(self.source), "sample:NAME, or a path or glob under data/incoming/"
        )
        require("text_column", self.text_column, bool(self.text_column), "the name of a column")
        require("label_column", self.label_column, bool(self.label_column), "the name of a column")
        require(
            "encoding",
            self.encoding,
            _is_encoding(self.encoding),
            "a codec Python knows, e.g. utf-8, latin-1",
        )


def _is_encoding(name: str) -> bool:
    try:
        codecs.lookup(name)
    except LookupError:
        return False
    return True
