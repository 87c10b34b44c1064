"""The summary of a retraining: what it read from the stages' reports, and its text for the terminal.

It repeats the reports and the decision, and computes nothing.
"""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertline.project.layout import (
    CANDIDATE,
    EVALUATION_PAGE,
    FINETUNE_SUMMARY,
    INGEST_REPORT,
    METRICS,
    SPLIT_SUMMARY,
    VALIDATION_RESULT,
)
from bertline.promotion.promote import PromotionDecision

_MODELS = {"candidate": "BERT", "baseline": "TF-IDF"}
_MEASURES = {"accuracy": "accuracy", "macro_f1": "macro-F1"}


@dataclass(frozen=True, kw_only=True)
class Data:
    """The reports of `ingest` and `validate` on the data of a run."""

    ingested: Mapping[str, Any]
    validated: Mapping[str, Any]

    @classmethod
    def read(cls, root: Path) -> "Data":
        """Read the reports of `ingest` and `validate` in `root`; FileNotFoundError if one is missing."""
        return cls(ingested=_read(root / INGEST_REPORT), validated=_read(root / VALIDATION_RESULT))

    @property
    def headline(self) -> str:
        """One line: whether the batch may be trained on."""
        return "the batch passed" if self.validated["passed"] else "the batch was stopped"

    def warnings(self) -> list[str]:
        """Return a line on each expectation that failed without stopping the batch."""
        return [
            each["name"]
            + (f" is {each['shown']}" if each["shown"] else "")
            + f" (allowed: {each['allowed']})"
            + (f": {each['detail']}" if each["detail"] else "")
            for each in self.validated["expectations"]
            if each["severity"] == "warn" and not each["passed"]
        ]


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One retraining: its data, its numbers and its verdict."""

    stages: Mapping[str, str]  # name to state: Completed, Restored or Cached
    rows: Mapping[str, int]  # in, duplicates, quarantined, near-duplicates removed
    warnings: list[str]  # about the data, then about the training
    metrics: Mapping[str, Any]
    verdict: str
    reasons: str
    shared: str | None  # what became of the push to a git remote
    note: str
    champion: str | None  # after the run
    compared_with: str | None  # the champion before it
    champion_scores: Mapping[str, float] | None
    comparison: (
        Mapping[str, Any] | None
    )  # what `bertline compare` says of champion and candidate, with its page

    @classmethod
    def read(
        cls,
        root: Path,
        *,
        stages: Mapping[str, str],
        decision: PromotionDecision,
        version: str | None,
        shared: str | None,
        note: str,
    ) -> "Summary":
        """Collect the reports in `root`; `version` is what the candidate became, if it was promoted."""
        data = Data.read(root)
        return cls(
            stages=stages,
            rows={
                "in": data.ingested["lines_in"],
                "duplicates": data.ingested["duplicates"],
                "quarantined": data.validated["rows_quarantined"],
                "near-duplicates removed": _read(root / SPLIT_SUMMARY)["set_aside"],
            },
            warnings=[*data.warnings(), *training_warnings(root)],
            metrics=_read(root / METRICS),
            verdict=f"promoted: {version} is the champion now" if version else decision.headline,
            reasons=decision.reasons,
            shared=shared,
            note=note,
            champion=version or decision.champion,
            compared_with=decision.champion,
            champion_scores=decision.champion_scores,
            comparison=_comparison(root, decision.comparison),
        )

    def text(self) -> str:
        """Return the summary for the terminal."""
        by_state: dict[str, list[str]] = {}
        for name, state in self.stages.items():
            by_state.setdefault(state.lower(), []).append(name)
        stages = [f"{state}: {', '.join(names)}" for state, names in by_state.items()]
        rows = [" · ".join(f"{count:,} {what}" for what, count in self.rows.items())]
        width = max(len(row["model"]) for row in self.metrics_table())
        numbers = [
            "   ".join((f"{row['model']:<{width}}", *(f"{name} {row[name]}" for name in _MEASURES.values())))
            for row in self.metrics_table()
        ]
        sections = {
            "stages": stages,
            "rows": rows,
            "warned": self.warnings,
            "test": numbers,
            "verdict": [self.verdict, *self.reasons.splitlines()],
            "version": [self.shared] if self.shared else [],
            "compared": [*self.comparison["conclusion"], self.comparison["page"]] if self.comparison else [],
            "report": [str(EVALUATION_PAGE)],
            "model": [str(CANDIDATE)],
            "next": self._next_commands(),
        }
        lines = [
            f"{title if first else '':<9}{line}"
            for title, content in sections.items()
            for first, line in zip([True] + [False] * len(content), content, strict=False)
        ]
        return "\n".join(["", *lines])

    def metrics_table(self) -> list[dict[str, str]]:
        """Return a row per model: its measures with their intervals, all on the same rows."""
        models = {f"{key} ({kind})": self.metrics[key] for key, kind in _MODELS.items()}
        if self.champion_scores:
            models[f"champion {self.compared_with}"] = self.champion_scores
        return [
            {"model": model} | {title: _with_interval(scores, name) for name, title in _MEASURES.items()}
            for model, scores in models.items()
        ]

    def _next_commands(self) -> list[str]:
        # Outside an activated environment its commands are not on the user's PATH.
        folder = "" if "VIRTUAL_ENV" in os.environ else f"{os.path.relpath(Path(sys.executable).parent)}/"
        which = "" if self.champion else f"--model {CANDIDATE} "
        return [
            f'{folder}bertline predict {which}"What is the capital of Peru?"',
            f"{folder}bertline history",
            "make up",
        ]


def training_warnings(root: Path) -> list[str]:
    """Return what `finetune` warns of; a model of an earlier version has no such list."""
    path = root / FINETUNE_SUMMARY
    warnings: list[str] = _read(path).get("warnings", []) if path.exists() else []
    return [f"finetune: {each}" for each in warnings]


def _comparison(root: Path, page: str | None) -> Mapping[str, Any] | None:
    """Return the document of the comparison whose page is `page`; None if it has been removed."""
    path = root / page if page else None
    if path is None or not path.with_suffix(".json").exists():
        return None
    return {**_read(path.with_suffix(".json")), "page": page}


def _read(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def _with_interval(metrics: Mapping[str, float], name: str) -> str:
    return f"{metrics[name]:.3f} [{metrics[f'{name}_low']:.3f}, {metrics[f'{name}_high']:.3f}]"
