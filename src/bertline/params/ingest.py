"""The `ingest` section of params.yaml; the comments there explain each setting."""

from dataclasses import dataclass

from bertline.core.bounds import STRICT, require

ROW_COLUMNS = ("id", "content_id", "text", "text_pair", "label", "source", "batch", "timestamp", "side")
"""What slices.yaml, expectations.yaml and split.group_column call the columns that every row has."""


@dataclass(frozen=True, kw_only=True)
class Params:
    """The source of the rows and the columns that hold them."""

    __pydantic_config__ = STRICT

    source: str
    validation_source: str | None
    test_source: str | None
    text_column: str | list[str]
    pair_column: str | list[str] | None
    label_column: str
    label_separator: str | None
    label_map: dict[str, str]
    timestamp_column: str | None
    batch_column: str | None
    keep_columns: list[str]
    encoding: str | None

    def __post_init__(self) -> None:
        files = "a path or a glob under data/incoming/"
        _require_source("source", self.source, f"sample:NAME, or {files}")
        for field in ("validation_source", "test_source"):
            if getattr(self, field) is not None:
                _require_source(field, getattr(self, field), f"null, or {files}")
        _require_columns("text_column", self.text_column)
        if self.pair_column is not None:
            _require_columns("pair_column", self.pair_column)
        for field in ("label_column", "timestamp_column", "batch_column"):
            require(field, getattr(self, field), getattr(self, field) != "", "the name of a column")
        self._check_kept()
        texts = columns(self.text_column) + columns(self.pair_column)
        require("label_column", self.label_column, self.label_column not in texts, "a column that is no text")
        require("label_separator", self.label_separator, self.label_separator != "", 'null, or e.g. ";"')
        for old, new in self.label_map.items():
            trimmed = old == old.strip() and new == new.strip() != ""
            require(
                "label_map", {old: new}, trimmed, "old: new, without white space around, and new not empty"
            )
        codec = self.encoding is None or _is_text_encoding(self.encoding)
        require("encoding", self.encoding, codec, "null, or a codec Python knows, e.g. utf-8, latin-1")

    def _check_kept(self) -> None:
        folded = {name.lower() for name in self.keep_columns}  # as slices.yaml compares names
        distinct = all(self.keep_columns) and len(folded) == len(self.keep_columns)
        require("keep_columns", self.keep_columns, distinct, "a list of names that differ by more than case")
        for key in ("text_column", "pair_column", "label_column", "timestamp_column", "batch_column"):
            for name in columns(getattr(self, key)):
                if name in self.keep_columns:
                    raise ValueError(
                        f"keep_columns has {name!r}, which rows have already because of {key}; remove it"
                    )
        for name in self.keep_columns:
            if name.lower() in ROW_COLUMNS:
                raise ValueError(
                    f"keep_columns has {name!r}, which is what rows call a column of their own; "
                    "give the column another name in the files"
                )


def columns(names: str | list[str] | None) -> list[str]:
    """Return the names of the columns that make up one text, as a list."""
    if names is None:
        return []
    return [names] if isinstance(names, str) else names


def _require_source(field: str, source: str, allowed: str) -> None:
    if "://" in source:  # it may hold a password: not repeated
        raise ValueError(
            f"{field} is an address; that goes into fetch.source, and what it brings lies under"
            " data/incoming/"
        )
    require(field, source, source != "", allowed)


def _require_columns(field: str, names: str | list[str]) -> None:
    given = columns(names)
    distinct = bool(given) and all(given) and len(set(given)) == len(given)
    require(field, names, distinct, "the name of a column, or a list of different ones")


def _is_text_encoding(name: str) -> bool:
    try:
        "a".encode(name)
    except (LookupError, UnicodeError, ValueError):  # unknown, makes no text, or holds a NUL
        return False
    return True
