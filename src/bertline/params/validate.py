"""The `validate` section of params.yaml; the comments there explain each setting."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from bertline.core.bounds import STRICT, is_date, parse_date, require

SEVERITIES = {
    "rows_kept": "batch",
    "labels": "batch",
    "rows_per_class": "batch",
    "share_quarantined": "batch",
    "imbalance": "warn",
    "share_duplicates": "warn",
    "unknown_tokens": "batch",
    "merged_words": "warn",
    "truncated": "warn",
    "drift_length": "warn",
    "drift_labels": "warn",
    "drift_vocabulary": "warn",
}
"""The default severity of the expectations on a batch: a warning, or a stop of the run."""


@dataclass(frozen=True, kw_only=True)
class Params:
    """The conditions on a row and on a batch."""

    __pydantic_config__ = STRICT

    labels: list[str] | None
    min_characters: int
    max_characters: int
    max_damage: float
    scripts: list[str] | None
    earliest: str | None
    latest: str | None
    min_rows: int
    min_rows_per_class: int
    max_quarantined: float
    max_imbalance: float
    max_duplicates: float
    max_unknown_tokens: float
    max_merged_words: float
    max_truncated: float
    max_drift: float
    severity: dict[str, str]

    def __post_init__(self) -> None:
        self._check_rows()
        self._check_batch()

    @property
    def earliest_moment(self) -> datetime | None:
        """The first moment allowed."""
        return None if self.earliest is None else parse_date(self.earliest)

    @property
    def latest_moment(self) -> datetime | None:
        """The last moment allowed; of a date without a time: its last microsecond."""
        if self.latest is None:
            return None
        whole_day = (
            timedelta(days=1, microseconds=-1) if len(self.latest) <= len("2026-01-31") else timedelta()
        )
        return parse_date(self.latest) + whole_day

    def _check_rows(self) -> None:
        if self.labels is not None:
            distinct = len(set(self.labels))
            allowed = "null, or at least two distinct labels"
            require("labels", self.labels, distinct == len(self.labels) >= 2, allowed)
        require("min_characters", self.min_characters, self.min_characters >= 1, ">= 1")
        bound = f">= min_characters ({self.min_characters})"
        require("max_characters", self.max_characters, self.max_characters >= self.min_characters, bound)
        require("max_damage", self.max_damage, 0 <= self.max_damage <= 1, "0 <= share <= 1")
        if self.scripts is not None:
            named = bool(self.scripts) and all(
                re.fullmatch(r"[A-Z][A-Za-z_]+", each) for each in self.scripts
            )
            require("scripts", self.scripts, named, "null, or Unicode scripts such as [Latin, Cyrillic]")
        for field, value in (("earliest", self.earliest), ("latest", self.latest)):
            allowed = "null, or an ISO 8601 date or time, e.g. 2026-01-31"
            require(field, value, is_date(value), allowed)
        earliest, latest = self.earliest_moment, self.latest_moment
        ordered = earliest is None or latest is None or earliest <= latest
        require("latest", self.latest, ordered, f"not before earliest ({self.earliest})")

    def _check_batch(self) -> None:
        require("min_rows", self.min_rows, self.min_rows >= 1, ">= 1")
        require("min_rows_per_class", self.min_rows_per_class, self.min_rows_per_class >= 1, ">= 1")
        require("max_quarantined", self.max_quarantined, 0 <= self.max_quarantined < 1, "0 <= share < 1")
        require("max_imbalance", self.max_imbalance, self.max_imbalance >= 1, ">= 1")
        for field in (
            "max_duplicates",
            "max_unknown_tokens",
            "max_merged_words",
            "max_truncated",
            "max_drift",
        ):
            value = getattr(self, field)
            require(field, value, 0 <= value <= 1, "0 <= share <= 1")
        for name, severity in self.severity.items():
            require("severity", name, name in SEVERITIES, f"expectations on a batch: {', '.join(SEVERITIES)}")
            require(f"severity.{name}", severity, severity in ("warn", "batch"), "warn or batch")
