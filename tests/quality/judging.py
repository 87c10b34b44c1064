"""Judge tables in a test: the current folder holds the files, and small bounds make small batches pass."""

from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from bertline.corpus.rows import ROWS, make_rows, read_rows, with_ids, write_rows
from bertline.params.validate import Params
from bertline.quality.engine import Rule
from bertline.quality.judge import explain, judge
from bertline.quality.quarantine import QUARANTINE
from bertline.quality.suite import build_suite
from bertline.quality.verdict import Outcome, Verdict

KNOBS = {
    "labels": None,
    "min_characters": 1,
    "max_characters": 40,
    "max_damage": 0.05,
    "scripts": None,
    "earliest": "1990-01-01",
    "latest": None,
    "min_rows": 4,
    "min_rows_per_class": 2,
    "max_quarantined": 0.5,
    "max_imbalance": 100,
    "max_duplicates": 0.5,
    "max_unknown_tokens": 0.05,
    "max_truncated": 0.1,
    "max_drift": 0.2,
    "severity": {},
}
GOOD = [("a", "ham"), ("b", "ham"), ("c", "spam"), ("d", "spam")]


class Judged(NamedTuple):
    verdict: Verdict
    kept: pa.Table | None  # None where the batch did not pass
    quarantined: pa.Table

    @property
    def outcomes(self) -> dict[str, Outcome]:
        return {outcome.name: outcome for outcome in self.verdict.expectations}


def rows(*pairs: tuple[str | None, str | None], **columns: object) -> pa.Table:
    """Return (text, label) pairs as `ROWS`; `columns` as in `make_rows`."""
    texts, labels = zip(*pairs, strict=True)
    return with_ids(make_rows(texts, labels, source="test", batch="one", **columns))


def judge_rows(
    table: pa.Table,
    *,
    own: list[Rule] | None = None,
    reviews: dict | None = None,
    multi_label: bool = False,
    measure_tokens=None,
    known: dict | None = None,
    **knobs: object,
) -> Judged:
    """Judge `table` with `KNOBS` and `knobs`."""
    params = Params(**(KNOBS | knobs))
    write_rows(table, Path("rows.parquet"), multi_label=multi_label)
    verdict = judge(
        Path("rows.parquet"),
        params,
        build_suite(params, own or []),
        validated=Path("kept.parquet"),
        quarantine=Path("quarantined.parquet"),
        reviews=reviews or {},
        measure_tokens=measure_tokens,
        known=known,
    )
    assert verdict.passed is (explain(verdict) == "") is Path("kept.parquet").exists()
    kept = read_rows(Path("kept.parquet"), ROWS) if verdict.passed else None
    return Judged(verdict, kept, read_rows(Path("quarantined.parquet"), QUARANTINE))


def failed(table: pa.Table, **knobs: object) -> str:
    """Return the one line on what stops the batch."""
    return explain(judge_rows(table, **knobs).verdict)
