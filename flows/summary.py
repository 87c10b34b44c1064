"""What a finished retraining has to say: in the terminal, and as Prefect artifacts.

Only repeats what the stages' reports and the judgement say; it computes nothing.
"""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertline.promotion.promote import Judgement
from bertline.promotion.registry import METRICS, MODEL

REPORT = "reports/evaluation/report.html"
INGEST = "reports/ingest.json"
VALIDATION = "reports/validation/verdict.json"
_MODELS = {"candidate": "BERT", "baseline": "TF-IDF"}
_MEASURES = {"accuracy": "accuracy", "macro_f1": "macro-F1"}


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One retraining: its data, its numbers and its verdict."""

    stages: Mapping[str, str]  # name to state: Completed, Restored or Cached
    rows: Mapping[str, int]  # in, duplicates, quarantined
    metrics: Mapping[str, Any]
    verdict: str
    reasons: str
    champion: str | None

    @classmethod
    def read(
        cls, root: Path, *, stages: Mapping[str, str], judgement: Judgement, version: str | None
    ) -> "Summary":
        """Collect the reports in `root`; `version` is what the candidate became, if it was promoted."""
        ingested, validated, metrics = (
            json.loads((root / path).read_text("utf-8")) for path in (INGEST, VALIDATION, METRICS)
        )
        return cls(
            stages=stages,
            rows={
                "in": ingested["lines_in"],
                "duplicates": ingested["duplicates"],
                "quarantined": validated["rows_quarantined"],
            },
            metrics=metrics,
            verdict=f"promoted: {version} is the champion now" if version else judgement.headline,
            reasons=judgement.reasons,
            champion=version or judgement.champion,
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
            "test": numbers,
            "verdict": [self.verdict, *self.reasons.splitlines()],
            "report": [REPORT],
            "model": [MODEL],
            "next": self._next_commands(),
        }
        lines = [
            f"{title if first else '':<9}{line}"
            for title, content in sections.items()
            for first, line in zip([True] + [False] * len(content), content, strict=False)
        ]
        return "\n".join(["", *lines])

    def metrics_table(self) -> list[dict[str, str]]:
        """Return a row per model: its measures with their intervals."""
        return [
            {"model": f"{key} ({kind})"}
            | {title: _with_interval(self.metrics[key], name) for name, title in _MEASURES.items()}
            for key, kind in _MODELS.items()
        ]

    def markdown(self) -> str:
        """Return the verdict with its reasons and where to look."""
        reasons = "\n".join(f"- {line}" for line in self.reasons.splitlines())
        return f"## {self.verdict}\n\n{reasons}\n\nReport: `{REPORT}`\n\nModel: `{MODEL}`\n"

    def _next_commands(self) -> list[str]:
        # Outside an activated environment its commands are not on the user's PATH.
        folder = "" if "VIRTUAL_ENV" in os.environ else f"{os.path.relpath(Path(sys.executable).parent)}/"
        which = "" if self.champion else f"--model {MODEL} "
        return [
            f'{folder}bertline predict {which}"What is the capital of Peru?"',
            f"{folder}bertline history",
            "make ui",
        ]


def _with_interval(metrics: Mapping[str, float], name: str) -> str:
    return f"{metrics[name]:.3f} [{metrics[f'{name}_low']:.3f}, {metrics[f'{name}_high']:.3f}]"
