"""What was expected of a batch and what was observed: plain data, without Great Expectations."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fact:
    """A measured number that an expectation judges; `detail` says in words what it means, or nothing."""

    value: float
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one expectation allows and what it observed.

    `severity` is "row" (rows that break it are quarantined), "warn" (only shown) or "batch" (stops the run).
    `observed` is, for a row expectation, the number of rows that broke it; for `rows_per_class`, the rows
    kept of each label; None where it is no number: what a rule of the user observes may be texts, and a
    report shows none. `detail` says in words what was observed, where the number alone does not.
    """

    name: str
    column: str | None
    severity: str
    passed: bool
    observed: int | float | dict[str, int] | None
    allowed: str
    detail: str = ""

    @property
    def shown(self) -> str:
        """What was observed, as people write it; empty where there is no number."""
        match self.observed:
            case None:
                return ""
            case dict() as rows:
                return f"{min(rows.values()):,} (smallest class)" if rows else "no label"
            case float() as number if not number.is_integer() and abs(number) < 1000:
                return f"{number:.3g}" if abs(number) >= 0.001 else "below 0.001"
            case number:
                return f"{number:,.0f}"

    @property
    def statement(self) -> str:
        """The name and what was observed, without the detail."""
        return f"{self.name} is {self.shown}" if self.shown else self.name


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a batch may be trained on, and what says so; rows_in = rows_kept + rows_quarantined."""

    passed: bool
    rows_in: int
    rows_kept: int
    rows_quarantined: int
    rows_released: int  # of those kept: rows that break a rule and that a person released
    reviews_of_no_row: int  # people's decisions on rows that are not, or no longer, here
    expectations: list[Outcome]
