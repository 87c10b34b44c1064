"""Judge tables in a test: the current folder holds the files, and small bounds make small batches pass."""

from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from bertline.params.validate import Params
from bertline.rows.io import read_rows, write_rows
from bertline.rows.labels import SINGLE_LABEL, LabelSpace
from bertline.rows.schema import ROW_SCHEMA, make_rows
from bertline.rows.text_key import add_ids
from bertline.stages.validate.checks import build_suite
from bertline.stages.validate.great_expectations import Check
from bertline.stages.validate.quarantine.table import QUARANTINE
from bertline.stages.validate.result import Outcome, ValidationResult
from bertline.stages.validate.validate_rows import explain, validate_rows
from tests.support.params import section

SMALL = {
    "max_characters": 40,
    "min_rows": 4,
    "min_rows_per_class": 2,
    "max_quarantined": 0.5,
    "max_drift": 0.2,
}
"""What differs from the shipped bounds."""
GOOD = [("a", "ham"), ("b", "ham"), ("c", "spam"), ("d", "spam")]


def validate_params(**changes: object) -> Params:
    """Return the shipped bounds, with `SMALL` and `changes`."""
    params: Params = section("validate", **SMALL | changes)
    return params


class Judged(NamedTuple):
    verdict: ValidationResult
    kept: pa.Table | None  # None where the batch did not pass
    quarantined: pa.Table

    @property
    def outcomes(self) -> dict[str, Outcome]:
        return {outcome.name: outcome for outcome in self.verdict.expectations}


def rows(*pairs: tuple[str | None, str | None], **columns: object) -> pa.Table:
    """Return (text, label) pairs as `ROW_SCHEMA`; `columns` as in `make_rows`."""
    texts, labels = zip(*pairs, strict=True)
    return add_ids(make_rows(texts, labels, source="test", batch="one", **columns))


def judge_rows(
    table: pa.Table,
    *,
    own: list[Check] | None = None,
    reviews: dict | None = None,
    space: LabelSpace = SINGLE_LABEL,
    measure_tokens=None,
    extra_metrics: dict | None = None,
    **knobs: object,
) -> Judged:
    """Judge `table` with the bounds of `validate_params`."""
    params = validate_params(**knobs)
    write_rows(table, Path("rows.parquet"), space=space)
    verdict = validate_rows(
        Path("rows.parquet"),
        params,
        build_suite(params, own or []),
        validated=Path("kept.parquet"),
        quarantine=Path("quarantined.parquet"),
        reviews=reviews or {},
        measure_tokens=measure_tokens,
        extra_metrics=extra_metrics,
    )
    assert verdict.passed is (explain(verdict) == "") is Path("kept.parquet").exists()
    kept = read_rows(Path("kept.parquet"), ROW_SCHEMA) if verdict.passed else None
    return Judged(verdict, kept, read_rows(Path("quarantined.parquet"), QUARANTINE))


def failed(table: pa.Table, **knobs: object) -> str:
    """Return the one line on what stops the batch."""
    return explain(judge_rows(table, **knobs).verdict)
