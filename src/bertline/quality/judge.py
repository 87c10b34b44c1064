"""Judge a table of rows by a suite: keep good rows, set bad ones aside, and say if the batch may be used.

One pass over the file judges the rows, another writes those kept and those quarantined and gathers the
facts that the batch is judged by. Guarantees that rows in = kept + quarantined, that rows keep their order,
and that the verdict depends on rows, parameters, the user's expectations and reviews alone, not on chunks.
Memory: 4 bytes a row, and the columns that the user's own expectations on the whole batch name.
"""

import math
from collections.abc import Mapping, Sequence, Sized
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from bertline.corpus.rows import is_multi_label, label_name, write_rows
from bertline.params.validate import Params
from bertline.quality.ahead import ahead
from bertline.quality.engine import Rule, judge_frame
from bertline.quality.observing import MeasureTokens, Observer
from bertline.quality.quarantine import QUARANTINE
from bertline.quality.review import Review
from bertline.quality.sorting import Sorter
from bertline.quality.suite import Suite
from bertline.quality.survey import Survey, survey
from bertline.quality.verdict import Fact, Outcome, Verdict


def judge(
    rows: Path,
    params: Params,
    suite: Suite,
    *,
    validated: Path,
    quarantine: Path,
    reviews: Mapping[str, Review],
    measure_tokens: MeasureTokens | None = None,
    known: Mapping[str, Fact] | None = None,
) -> Verdict:
    """Write the rows of the file `rows` to `validated` (as `ROWS`) or `quarantine` (as `QUARANTINE`).

    A row that breaks several rules is listed under the first. `measure_tokens` says what the tokenizer
    makes of a sample of the rows kept, `known` are facts from elsewhere; a fact that is not there is not
    judged. A batch that does not pass leaves nothing at `validated`.

    Raises:
        ValueError: the columns of `rows` are not those of `ROWS`, or a user's rule cannot be evaluated.
    """
    multi_label = is_multi_label(rows)
    if params.labels is not None:  # as `ingest` writes them
        params = replace(params, labels=[*map(label_name, params.labels)])
    found = survey(rows, params, suite)
    sorter = Sorter(rows, found, reviews)
    observer = Observer(found.batches, multi_label=multi_label)
    quarantined = write_rows(ahead(sorter.quarantined()), quarantine, QUARANTINE, multi_label=multi_label)
    kept = write_rows(ahead(sorter.kept(observer.update)), validated, multi_label=multi_label)
    total = len(found.codes)
    assert total == kept + quarantined, (total, kept, quarantined)

    facts = {**observer.facts(params.labels or [], measure_tokens), **(known or {})}
    undecided, judged = quarantined - sorter.dropped, total - sorter.dropped
    facts["share_quarantined"] = Fact(undecided / judged if judged else 0.0)
    outcomes = [
        *_judge_rows(found),
        *_judge_facts(facts, suite.facts),
        *_judge_classes(dict(sorted(observer.classes.items())), suite.classes),
        *_judge_whole(validated, suite.own_batch),
    ]
    passed = all(outcome.passed for outcome in outcomes if outcome.severity == "batch")
    if not passed:
        validated.unlink()
    return Verdict(
        passed=passed,
        rows_in=total,
        rows_kept=kept,
        rows_quarantined=quarantined,
        rows_released=sorter.released,
        reviews_of_no_row=len(sorter.missed),
        expectations=outcomes,
    )


def describe(outcome: Outcome) -> str:
    """Return in words what was observed on a batch and what is allowed."""
    if not outcome.detail:
        return f"{outcome.statement} (allowed: {outcome.allowed})"
    if isinstance(outcome.observed, dict):
        return f"{outcome.detail} (allowed: {outcome.allowed})"
    return f"{outcome.detail} ({outcome.statement}, allowed: {outcome.allowed})"


def explain(verdict: Verdict) -> str:
    """Return one line on the expectations that stop the batch: what was observed and what is allowed."""
    stopping = [each for each in verdict.expectations if each.severity == "batch" and not each.passed]
    return "; ".join(map(describe, stopping))


def _judge_rows(found: Survey) -> list[Outcome]:
    return [
        _outcome(rule, passed=not broken, observed=broken)
        for rule, broken in zip(found.rules, found.rows_that_break(), strict=True)
    ]


def _judge_facts(facts: Mapping[str, Fact], rules: Sequence[Rule]) -> list[Outcome]:
    seen = [rule for rule in rules if rule.name in facts]
    frame = pd.DataFrame({rule.name: [facts[rule.name].value] for rule in seen})
    return [
        _outcome(rule, passed=result.success, observed=facts[rule.name].value, detail=facts[rule.name].detail)
        for rule, result in zip(seen, judge_frame(frame, seen), strict=True)
    ]


def _judge_classes(classes: dict[str, int], rules: Sequence[Rule]) -> list[Outcome]:
    frame = pd.DataFrame({"rows": list(classes.values())}, dtype="int64")
    outcomes = []
    for rule, result in zip(rules, judge_frame(frame, rules), strict=True):
        few = [list(classes.items())[row] for row in result.result["unexpected_index_list"]]
        detail = ", ".join(f"label {label!r} has {rows} row{'s' * (rows != 1)}" for label, rows in few[:5])
        detail += f" and {len(few) - 5} more labels have too few" * (len(few) > 5)
        outcomes.append(_outcome(rule, passed=result.success, observed=classes, detail=detail))
    return outcomes


def _judge_whole(validated: Path, rules: Sequence[Rule]) -> list[Outcome]:
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
    """Return what was observed as a number, and in words; of values only how many, as they may be texts."""
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
    rule: Rule, *, passed: bool, observed: int | float | dict[str, int] | None, detail: str = ""
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
