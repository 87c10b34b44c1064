"""Rules, and Great Expectations judging a data frame by them.

Guarantees that a rule which Great Expectations cannot evaluate is a ValueError that names it, never a
rule that counts as met. Nothing is printed, sent or stored.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import great_expectations as gx
import numpy as np
import pandas as pd
from great_expectations.data_context.types.base import ProgressBarsConfig


@dataclass(frozen=True, kw_only=True)
class Check:
    """A Great Expectations expectation, with its name for people and the values it allows."""

    name: str
    column: str | None  # what it is about, in the words of the table of rows
    severity: str  # "row", "warn" or "batch"
    allowed: str
    expectation: Any

    @property
    def reason(self) -> str:
        """Why a row that breaks the rule is quarantined."""
        return f"{self.column} must be {self.allowed}"

    @property
    def columns(self) -> list[str]:
        """Return the columns that the expectation reads."""
        named = [getattr(self.expectation, key, None) for key in ("column", "column_A", "column_B")]
        return [name for name in [*named, *(getattr(self.expectation, "column_list", None) or [])] if name]

    def as_json(self) -> dict[str, Any]:
        """Return the expectation as Great Expectations writes it, with our names under `meta`."""
        written: dict[str, Any] = self.expectation.configuration.to_json_dict()
        written["severity"] = "warning" if self.severity == "warn" else "critical"
        names = {"name": self.name, "severity": self.severity, "column": self.column, "allowed": self.allowed}
        return {**written, "meta": names}


def judge_frame(frame: pd.DataFrame, rules: Sequence[Check]) -> list[Any]:
    """Return the validation result of each rule on `frame`, in the order of `rules`.

    Raises:
        ValueError: a rule cannot be evaluated, e.g. for a regular expression that is none.
    """
    return judge_batch(_pandas_batches(), frame, rules)


def judge_batch(
    definition: Any, frame: Any, rules: Sequence[Check], result_format: str = "COMPLETE"
) -> list[Any]:
    """Judge `frame`, a frame of the engine that `definition` belongs to, as `judge_frame` does."""
    if not rules:
        return []
    for rule in rules:
        rule.expectation.meta = {"name": rule.name}  # results come in an order of their own
    suite = gx.ExpectationSuite(name="rows", expectations=[rule.expectation for rule in rules])
    batch = definition.get_batch({"dataframe": frame})
    results = {
        result.expectation_config.meta["name"]: result
        for result in batch.validate(suite, result_format=result_format).results
    }
    for rule in rules:
        _check(rule, results[rule.name])
    return [results[rule.name] for rule in rules]


def broken_by(result: Any, rows: int) -> np.ndarray:
    """Return which of the `rows` rows of the frame break a row rule, [rows] bool."""
    broken = np.zeros(rows, bool)
    broken[result.result["unexpected_index_list"]] = True
    return broken


def spark_batches() -> Any:
    """Return the definition of batches that are Spark data frames, for `judge_batch`."""
    asset = _context().data_sources.add_spark("rows").add_dataframe_asset("rows")
    return asset.add_batch_definition_whole_dataframe("rows")


@cache  # one for the process: each context makes a folder in /tmp
def _pandas_batches() -> Any:
    asset = _context().data_sources.add_pandas("rows").add_dataframe_asset("rows")
    return asset.add_batch_definition_whole_dataframe("rows")


def _context() -> Any:
    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    return context


def _check(rule: Check, result: Any) -> None:
    raised = result.exception_info or {}
    faults = [raised] if "raised_exception" in raised else list(raised.values())
    for fault in faults:
        if fault["raised_exception"]:
            message = " ".join(str(fault["exception_message"]).split())[:300]
            raise ValueError(f"expectation {rule.name!r} cannot be evaluated: {message}")
