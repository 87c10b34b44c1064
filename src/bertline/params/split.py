"""The `split` section of params.yaml; the comments there explain each setting."""

from dataclasses import dataclass

from bertline.core.bounds import STRICT, is_date, parse_date, require

GROUP_COLUMNS = ("source", "batch")
"""The columns of every row that may be a group; `ingest.keep_columns` brings others."""


@dataclass(frozen=True, kw_only=True)
class Params:
    """How rows are assigned to train, validation and test."""

    __pydantic_config__ = STRICT

    seed: int
    validation: float
    test: float
    validation_from: str | None
    test_from: str | None
    folds: int | None
    fold: int
    near_duplicates: float | None
    group_column: str | None

    def __post_init__(self) -> None:
        require("validation", self.validation, 0 < self.validation < 1, "0 < share < 1")
        require("test", self.test, 0 < self.test < 1, "0 < share < 1")
        rest = 1 - self.validation
        require("test", self.test, self.test < rest, f"< {rest:g}, so that rows are left to train on")
        group = self.group_column
        require("group_column", group, group != "", "null, source, batch, or a column of ingest.keep_columns")
        self._check_dates()
        self._check_folds()
        threshold = self.near_duplicates
        allowed = "null, or a similarity from 0.5 to 1"
        require("near_duplicates", threshold, threshold is None or 0.5 <= threshold <= 1, allowed)

    def _check_dates(self) -> None:
        for field in ("validation_from", "test_from"):
            allowed = "null, or an ISO 8601 date such as 2026-09-01"
            require(field, getattr(self, field), is_date(getattr(self, field)), allowed)
        if self.validation_from is None or self.test_from is None:
            both = self.validation_from is self.test_from
            missing = "test_from" if self.test_from is None else "validation_from"
            require(missing, None, both, "a date where the other one is set, or both null")
        else:
            later = parse_date(self.validation_from) < parse_date(self.test_from)
            bound = f"a date after validation_from ({self.validation_from})"
            require("test_from", self.test_from, later, bound)

    def _check_folds(self) -> None:
        folds = self.folds
        require("folds", folds, folds is None or folds >= 3, "null, or >= 3")
        require("folds", folds, folds is None or self.test_from is None, "null where rows are split by time")
        require("fold", self.fold, 0 <= self.fold < (folds or 1), f"0 to folds - 1 ({(folds or 1) - 1})")
