"""The Great Expectations suite that rows must meet, and the verdict on a batch of them.

Two severities. A *row* expectation sets aside the rows that break it. A *batch* expectation judges the
columns, the share of rows set aside and the rows that are left; one that fails condemns the batch.
Guarantees that rows in = rows kept + rows quarantined, and that the verdict depends on rows and
parameters alone (Great Expectations' own results carry time stamps, ids and raw text). Does not
guarantee that a label is right: only that the same text never comes with another.
"""

from dataclasses import dataclass, replace
from typing import Any

import great_expectations as gx
import great_expectations.expectations as gxe
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from great_expectations.data_context.types.base import ProgressBarsConfig

from bertline.corpus.duplicates import labels_per_text
from bertline.corpus.rows import ROWS
from bertline.params.validate import Params

QUARANTINE = ROWS.append(pa.field("rule", pa.string())).append(pa.field("reason", pa.string()))

Judged = list[tuple[Any, Any]]  # pairs of a Great Expectations expectation and its validation result


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one expectation allows and what it observed.

    `observed` is, for a row expectation, the number of rows that broke it; for `rows_per_class`, the rows
    kept of each label; None where the column is missing.
    """

    name: str
    column: str | None
    severity: str  # "row" or "batch"
    passed: bool
    observed: int | float | str | dict[str, int] | None
    allowed: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a batch may be trained on, and what says so."""

    passed: bool
    rows_in: int
    rows_kept: int
    rows_quarantined: int
    expectations: list[Outcome]


def judge(rows: pa.Table, params: Params) -> tuple[Verdict, pa.Table, pa.Table]:
    """Return the verdict on `rows`, the rows kept (as `ROWS`) and the rows set aside (as `QUARANTINE`).

    Rows keep their order; a row that breaks several rules is listed under the first. Where the columns
    are not those of `ROWS` nothing else can be judged: the verdict then holds the outcomes on the columns
    alone, and no row is set aside.
    """
    context = _context()
    types = pd.DataFrame([[str(field.type) for field in rows.schema]], columns=rows.column_names)
    outcomes = [_outcome(*each) for each in _run(context, "columns", _column_expectations(), types)]
    if not all(outcome.passed for outcome in outcomes):
        return _verdict(outcomes, len(rows), 0), rows, QUARANTINE.empty_table()

    frame = rows.select(["text", "label"]).to_pandas()
    frame["labels_per_text"] = labels_per_text(rows, params.labels).to_numpy()
    judged = _run(context, "rows", _row_expectations(params), frame)
    outcomes += [_outcome(*each) for each in judged]
    rule, reason = _first_broken(judged, len(rows))
    bad = pc.is_valid(rule)
    kept = rows.filter(pc.invert(bad))
    quarantined = rows.append_column("rule", rule).append_column("reason", reason).filter(bad)

    outcomes += _judge_batch(context, kept, bad, params)
    return _verdict(outcomes, len(rows), len(quarantined)), kept, quarantined


def explain(verdict: Verdict, params: Params) -> str:
    """Return one line on the batch expectations that failed: what was observed and what is allowed."""
    faults = []
    for outcome in verdict.expectations:
        if outcome.passed or outcome.severity == "row":
            continue
        if isinstance(outcome.observed, dict):
            few = [(label, n) for label, n in outcome.observed.items() if n < params.min_rows_per_class]
            found = ", ".join(f"label {label!r} has {n} row{'s' * (n != 1)}" for label, n in few[:5])
            found += f" and {len(few) - 5} more labels have too few" * (len(few) > 5)
        else:
            found = f"{outcome.name} is {_show(outcome.observed)}"
        faults.append(f"{found} (allowed: {outcome.allowed})")
    return "; ".join(faults)


def _column_expectations() -> list[Any]:
    """Judged on one row: the Arrow type of each column."""
    allowed = ", ".join(ROWS.names)
    return [
        _expect(
            gxe.ExpectTableColumnsToMatchOrderedList, "columns", "batch", allowed, column_list=ROWS.names
        ),
        *(
            _expect(
                gxe.ExpectColumnMostCommonValueToBeInSet,
                f"type_of_{field.name}",
                "batch",
                str(field.type),
                column=field.name,
                value_set=[str(field.type)],
            )
            for field in ROWS
        ),
    ]


def _row_expectations(params: Params) -> list[Any]:
    """Judged on text, label and labels_per_text of every row; the first that a row breaks is its rule."""
    not_null, match = gxe.ExpectColumnValuesToNotBeNull, gxe.ExpectColumnValuesToMatchRegex
    length, between = gxe.ExpectColumnValueLengthsToBeBetween, gxe.ExpectColumnValuesToBeBetween
    shortest, longest = params.min_characters, params.max_characters
    bounds = {"min_value": shortest, "max_value": longest}
    expectations = [
        _expect(not_null, "text_not_null", "row", "present", column="text"),
        _expect(match, "text_not_blank", "row", "more than white space", column="text", regex=r"\S"),
        _expect(length, "text_length", "row", f"{shortest} to {longest} characters", column="text", **bounds),
        _expect(not_null, "label_not_null", "row", "present", column="label"),
        _expect(match, "label_not_blank", "row", "more than white space", column="label", regex=r"\S"),
    ]
    if params.labels is not None:
        known, allowed = gxe.ExpectColumnValuesToBeInSet, f"one of: {', '.join(params.labels)}"
        expectations.append(
            _expect(known, "label_known", "row", allowed, column="label", value_set=params.labels)
        )
    conflict = _expect(between, "label_conflict", "row", "at most 1", column="labels_per_text", max_value=1)
    return [*expectations, conflict]


def _judge_batch(context: Any, kept: pa.Table, bad: pa.Array, params: Params) -> list[Outcome]:
    share = pd.DataFrame({"quarantined": bad.to_numpy(zero_copy_only=False).astype(float)})
    most = params.max_quarantined
    mean, allowed = gxe.ExpectColumnMeanToBeBetween, f"at most {most:g}"
    quarantined = _expect(mean, "share_quarantined", "batch", allowed, column="quarantined", max_value=most)

    frame = kept.select(["label"]).to_pandas()
    count, distinct = gxe.ExpectTableRowCountToBeBetween, gxe.ExpectColumnUniqueValueCountToBeBetween
    least = params.min_rows
    rows = _expect(count, "rows_kept", "batch", f"at least {least}", min_value=least)
    labels = _expect(distinct, "labels", "batch", "at least 2", column="label", min_value=2)

    # A label that params.yaml names and no row has is a class with 0 rows.
    counts = dict.fromkeys(params.labels or [], 0) | frame["label"].value_counts().to_dict()
    classes = pd.DataFrame(sorted(counts.items()), columns=["label", "rows"])
    few, least = gxe.ExpectColumnValuesToBeBetween, params.min_rows_per_class
    per_class = _expect(few, "rows_per_class", "batch", f"at least {least}", column="rows", min_value=least)

    outcomes = [_outcome(*each) for each in _run(context, "share", [quarantined], share)]
    outcomes += [_outcome(*each) for each in _run(context, "kept", [rows, labels], frame)]
    [(_, result)] = _run(context, "classes", [per_class], classes)
    return [*outcomes, replace(_outcome(per_class, result), observed=dict(sorted(counts.items())))]


def _context() -> Any:
    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    return context


def _expect(kind: Any, name: str, severity: str, allowed: str, **arguments: object) -> Any:
    return kind(meta={"name": name, "severity": severity, "allowed": allowed}, **arguments)


def _run(context: Any, name: str, expectations: list[Any], frame: pd.DataFrame) -> Judged:
    """Validate `frame` with a suite of `expectations`; results come in the order of the suite."""
    asset = context.data_sources.add_pandas(name).add_dataframe_asset(name)
    batch = asset.add_batch_definition_whole_dataframe(name).get_batch({"dataframe": frame})
    suite = gx.ExpectationSuite(name=name, expectations=expectations)
    results = batch.validate(suite, result_format="COMPLETE").results
    by_name = {result.expectation_config.meta["name"]: result for result in results}
    return [(expectation, by_name[expectation.meta["name"]]) for expectation in expectations]


def _first_broken(judged: Judged, rows: int) -> tuple[pa.Array, pa.Array]:
    """Return the name of the first rule each row breaks and the reason, [rows] strings each; null: none."""
    rule = pd.Series([None] * rows, dtype="str")
    reason = rule.copy()
    for expectation, result in reversed(judged):  # the first comes last and overwrites
        broken = result.result["unexpected_index_list"]
        rule[broken] = expectation.meta["name"]
        reason[broken] = f"{expectation.column} must be {expectation.meta['allowed']}"
    return tuple(pa.array(each, pa.string(), from_pandas=True) for each in (rule, reason))


def _outcome(expectation: Any, result: Any) -> Outcome:
    meta = expectation.meta
    key = "unexpected_count" if meta["severity"] == "row" else "observed_value"
    observed = result.result.get(key)
    if isinstance(observed, list):
        observed = ", ".join(map(str, observed))
    elif hasattr(observed, "item"):  # a NumPy number
        observed = observed.item()
    return Outcome(
        name=meta["name"],
        column=getattr(expectation, "column", None),
        severity=meta["severity"],
        passed=bool(result.success),
        observed=observed,
        allowed=meta["allowed"],
    )


def _verdict(outcomes: list[Outcome], rows: int, quarantined: int) -> Verdict:
    return Verdict(
        passed=all(outcome.passed for outcome in outcomes if outcome.severity == "batch"),
        rows_in=rows,
        rows_kept=rows - quarantined,
        rows_quarantined=quarantined,
        expectations=outcomes,
    )


def _show(observed: object) -> str:
    return (
        "missing" if observed is None else f"{observed:.3g}" if isinstance(observed, float) else str(observed)
    )
