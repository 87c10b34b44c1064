"""Judge a table of rows by a suite: keep good rows, quarantine bad ones, and decide on the batch.

One pass over the file judges the rows. A second one writes the rows that are kept and those that are
quarantined, and gathers the metrics that the batch is judged by.

- Rows in = kept + quarantined, and rows keep their order.
- The result depends on rows, parameters, the user's expectations and reviews alone, not on chunks.
- Memory: 4 bytes a row, and the columns that the user's own expectations on the whole batch name.
"""

import math
from collections.abc import Iterator, Mapping, Sequence, Sized
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from bertline.params.validate import Params
from bertline.rows.io import read_label_space, write_rows
from bertline.rows.labels import OUT_OF_SCOPE, class_name
from bertline.stages.validate.batch_metrics import MeasureTokens, Observer
from bertline.stages.validate.checks import Suite
from bertline.stages.validate.great_expectations import Check, judge_frame
from bertline.stages.validate.prefetch import ahead
from bertline.stages.validate.quarantine.reasons import ReasonCounter
from bertline.stages.validate.quarantine.reviews import Review
from bertline.stages.validate.quarantine.row_router import RowRouter
from bertline.stages.validate.quarantine.table import QUARANTINE
from bertline.stages.validate.result import BatchMetric, Outcome, Reason, ValidationResult
from bertline.stages.validate.row_checks import RowCheckResults, check_rows

ASK_FOR_ROWS = ("share_quarantined", "rows_kept", "labels", "rows_per_class")
"""The expectations on a batch that may fail because rows were quarantined."""

REASONS_SHOWN = 3  # in the line that stops a batch


def validate_rows(
    rows: Path,
    params: Params,
    suite: Suite,
    *,
    validated: Path,
    quarantine: Path,
    reviews: Mapping[str, Review],
    measure_tokens: MeasureTokens | None = None,
    extra_metrics: Mapping[str, BatchMetric] | None = None,
    unreadable: Sequence[Reason] = (),
) -> ValidationResult:
    """Write the rows of the file `rows` to `validated` (as `ROW_SCHEMA`) or `quarantine` (as `QUARANTINE`).

    A row that breaks several rules is listed under the first. A batch that does not pass leaves nothing at
    `validated`.

    - `measure_tokens` measures the tokens of a sample of the rows kept.
    - `extra_metrics` are metrics of the batch from elsewhere. A metric that is missing is not judged.
    - `unreadable` lists the reasons for which rows could not be read.

    Raises:
        ValueError: the columns of `rows` are not those of `ROW_SCHEMA`, or a user's rule cannot be evaluated.
    """
    space = read_label_space(rows)
    if params.labels is not None:  # as `ingest` writes them
        params = replace(params, labels=[*map(class_name, params.labels)])
    found = check_rows(rows, params, suite)
    router = RowRouter(rows, found, reviews)
    observer = Observer(found.batches, space)
    reasons = ReasonCounter(found.rules, space)
    aside = reasons.watch(router.quarantined())
    quarantined = write_rows(ahead(aside), quarantine, QUARANTINE, space=space)
    kept = write_rows(ahead(router.kept(observer.update)), validated, space=space)
    total = len(found.combination_of)
    assert total == kept + quarantined, (total, kept, quarantined)

    metrics = {**observer.metrics(params.labels or [], measure_tokens), **(extra_metrics or {})}
    undecided, judged = quarantined - router.dropped, total - router.dropped
    metrics["share_quarantined"] = BatchMetric(undecided / judged if judged else 0.0)
    outcomes = [
        *_judge_rows(found),
        *_judge_metrics(metrics, suite.metrics),
        *_judge_classes(dict(sorted(observer.classes.items())), suite.classes),
        *_judge_whole(validated, suite.custom_batch),
    ]
    passed = all(outcome.passed for outcome in outcomes if outcome.severity == "batch")
    if not passed:
        validated.unlink()
    return ValidationResult(
        passed=passed,
        rows_in=total,
        rows_kept=kept,
        rows_quarantined=quarantined,
        rows_released=router.released,
        rows_out_of_scope=observer.out_of_scope,
        reviews_of_no_row=len(router.missed),
        expectations=outcomes,
        reasons=reasons.reasons(unreadable),
    )


def describe(outcome: Outcome) -> str:
    """Return in words what was observed on a batch and what is allowed."""
    if not outcome.detail:
        return f"{outcome.statement} (allowed: {outcome.allowed})"
    if isinstance(outcome.observed, dict):
        return f"{outcome.detail} (allowed: {outcome.allowed})"
    return f"{outcome.detail} ({outcome.statement}, allowed: {outcome.allowed})"


def explain(verdict: ValidationResult) -> str:
    """Return one line on the expectations that stop the batch, and on the quarantine if rows are missing."""
    stopping = [each for each in verdict.expectations if each.severity == "batch" and not each.passed]
    names = {each.name for each in stopping}
    lines = [*map(describe, stopping)]
    if verdict.rows_out_of_scope and names & {"rows_kept", "labels"}:
        rows = _count(verdict.rows_out_of_scope, "row")
        lines.append(f"{rows} labelled {OUT_OF_SCOPE} belong to no class; add rows of at least two classes")
    if names & {*ASK_FOR_ROWS}:
        lines += _explain_quarantine(verdict)
    return "; ".join(lines)


def _explain_quarantine(verdict: ValidationResult) -> Iterator[str]:
    """Yield the number of quarantined rows, the most frequent reasons and the command that shows the rows."""
    if not verdict.reasons:
        return
    yield f"{verdict.rows_quarantined:,} of {verdict.rows_in:,} rows were quarantined"
    for reason in verdict.reasons[:REASONS_SHOWN]:
        yield f"{reason.rows:,} of them: {reason.description}"
    yield f"to see them: {verdict.reasons[0].command}"


def _judge_rows(found: RowCheckResults) -> list[Outcome]:
    return [
        _outcome(rule, passed=not broken, observed=broken)
        for rule, broken in zip(found.rules, found.rows_that_break(), strict=True)
    ]


def _judge_metrics(metrics: Mapping[str, BatchMetric], rules: Sequence[Check]) -> list[Outcome]:
    seen = [rule for rule in rules if rule.name in metrics]
    frame = pd.DataFrame({rule.name: [metrics[rule.name].value] for rule in seen})
    return [
        _outcome(
            rule, passed=result.success, observed=metrics[rule.name].value, detail=metrics[rule.name].detail
        )
        for rule, result in zip(seen, judge_frame(frame, seen), strict=True)
    ]


def _judge_classes(classes: dict[str, int], rules: Sequence[Check]) -> list[Outcome]:
    frame = pd.DataFrame({"rows": list(classes.values())}, dtype="int64")
    outcomes = []
    for rule, result in zip(rules, judge_frame(frame, rules), strict=True):
        few = [list(classes.items())[row] for row in result.result["unexpected_index_list"]]
        detail = ", ".join(f"label {label!r} has {rows} row{'s' * (rows != 1)}" for label, rows in few[:5])
        detail += f" and {len(few) - 5} more labels have too few" * (len(few) > 5)
        outcomes.append(_outcome(rule, passed=result.success, observed=classes, detail=detail))
    return outcomes


def _judge_whole(validated: Path, rules: Sequence[Check]) -> list[Outcome]:
    """Judge all rows kept at once by the user's own rules."""
    if not rules:
        return []
    columns = sorted({name for rule in rules for name in rule.columns}) or ["id"]
    frame = pq.read_table(validated, columns=columns).to_pandas()
    outcomes = []
    for rule, result in zip(rules, judge_frame(frame, rules), strict=True):
        number, detail = _without_values(result.result)
        outcomes.append(_outcome(rule, passed=result.success, observed=number, detail=detail))
    return outcomes


def _without_values(result: Mapping[str, Any]) -> tuple[int | float | None, str]:
    """Return the observation as a number, and in words; for values only their number: they may be texts."""
    observed = result.get("observed_value", result.get("unexpected_count"))
    if isinstance(observed, Sized) and not isinstance(observed, str):
        return None, _count(len(observed), "value")
    if observed is None:
        counts = {kind: result.get(f"{kind}_count") for kind in ("unexpected", "missing")}
        found = [_count(count, f"{kind} value") for kind, count in counts.items() if count is not None]
        return None, ", ".join(found)
    number = observed.item() if hasattr(observed, "item") else observed
    return (number if isinstance(number, int | float) and math.isfinite(number) else None), ""


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _outcome(
    rule: Check, *, passed: bool, observed: int | float | dict[str, int] | None, detail: str = ""
) -> Outcome:
    return Outcome(
        name=rule.name,
        column=rule.column,
        severity=rule.severity,
        passed=bool(passed),
        observed=observed,
        allowed=rule.allowed,
        detail=detail,
    )
