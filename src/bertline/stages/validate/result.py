"""Expectations on a batch and the observations: plain data, without Great Expectations."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class BatchMetric:
    """A measured number that an expectation judges; `detail` says in words what it means, or nothing."""

    value: float
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result of one expectation: the values it allows and the observation.

    `severity` is "row" (rows that break it are quarantined), "warn" (only shown) or "batch" (stops the run).
    `observed` is, for a row expectation, the number of rows that broke it; for `rows_per_class`, the rows
    kept of each label; None where it is no number: a rule of the user may observe texts, and a
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
        """The observation, as people write it; empty where there is no number."""
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
class Reason:
    """Why rows were quarantined."""

    rule: str
    rows: int  # listed under the rule for this reason, without those that a person dropped
    statement: str  # what a row must be, or why rows could not be read
    example: str  # what the first of these rows holds; "" where that is a text

    @property
    def command(self) -> str:
        """The command that shows the rows."""
        return f"bertline quarantine show --rule {self.rule}"

    @property
    def description(self) -> str:
        """The reason in words, with its example."""
        return f"{self.statement}{f', e.g. {self.example}' if self.example else ''}"


@dataclass(frozen=True, kw_only=True)
class ValidationResult:
    """Whether a batch may be trained on, and why; rows_in = rows_kept + rows_quarantined."""

    passed: bool
    rows_in: int
    rows_kept: int
    rows_quarantined: int
    rows_released: int  # of those kept: rows that break a rule and that a person released
    rows_out_of_scope: int  # of those kept: rows labelled `OUT_OF_SCOPE`, which no bound on a batch counts
    reviews_of_no_row: int  # people's decisions on rows that are not, or no longer, here
    expectations: list[Outcome]
    reasons: list[Reason] = field(default_factory=list)  # of quarantined rows, the most frequent first
