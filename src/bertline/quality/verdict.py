"""What was expected of a batch and what was observed: plain data, without Great Expectations."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one expectation allows and what it observed.

    `severity` is "row" (rows that break it are quarantined), "warn" (only shown) or "batch" (stops the run).
    `observed` is, for a row expectation, the number of rows that broke it; for `rows_per_class`, the rows
    kept of each label; None where it could not be observed. `detail` says in words what the number means,
    where the number alone does not.
    """

    name: str
    column: str | None
    severity: str
    passed: bool
    observed: int | float | str | dict[str, int] | None
    allowed: str
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a batch may be trained on, and what says so; rows_in = rows_kept + rows_quarantined."""

    passed: bool
    rows_in: int
    rows_kept: int
    rows_quarantined: int
    rows_released: int  # of those kept: rows that break a rule and that a person released
    expectations: list[Outcome]
