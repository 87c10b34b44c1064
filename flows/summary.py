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
VALIDATION_PAGE = "reports/validation/index.html"
SPLIT = "reports/split/summary.json"
_MODELS = {"candidate": "BERT", "baseline": "TF-IDF"}
_MEASURES = {"accuracy": "accuracy", "macro_f1": "macro-F1"}


@dataclass(frozen=True, kw_only=True)
class Data:
    """What became of the lines that came in, and what `validate` says of them."""

    ingested: Mapping[str, Any]
    validated: Mapping[str, Any]

    @classmethod
    def read(cls, root: Path) -> "Data":
        """Read the reports of `ingest` and `validate` in `root`; FileNotFoundError if one is missing."""
        return cls(ingested=_read(root / INGEST), validated=_read(root / VALIDATION))

    @property
    def headline(self) -> str:
        """Whether the batch may be trained on."""
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

    def markdown(self) -> str:
        """Return the account of the rows and a table of the expectations."""
        found, judged = self.ingested, self.validated
        account = (
            f"{found['lines_in']:,} lines read = {found['duplicates']:,} exact duplicates "
            f"+ {judged['rows_kept']:,} rows kept ({judged['rows_released']:,} of them released) "
            f"+ {judged['rows_quarantined']:,} quarantined"
        )
        table = [("expectation", "severity", "observed", "allowed", "verdict", "what it means")]
        for each in judged["expectations"]:
            verdict = "met" if each["passed"] else "**failed**"
            observed = f"{each['shown']} rows" if each["severity"] == "row" else each["shown"]
            table.append((each["name"], each["severity"], observed, each["allowed"], verdict, each["detail"]))
        table.insert(1, ("---",) * 6)
        rows = "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in table)
        return f"## Validation: {self.headline}\n\n{account}\n\n{rows}\n\nReport: `{VALIDATION_PAGE}`\n"


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One retraining: its data, its numbers and its verdict."""

    stages: Mapping[str, str]  # name to state: Completed, Restored or Cached
    rows: Mapping[str, int]  # in, duplicates, quarantined, near-duplicates set aside
    warnings: list[str]
    metrics: Mapping[str, Any]
    verdict: str
    reasons: str
    champion: str | None

    @classmethod
    def read(
        cls, root: Path, *, stages: Mapping[str, str], judgement: Judgement, version: str | None
    ) -> "Summary":
        """Collect the reports in `root`; `version` is what the candidate became, if it was promoted."""
        data = Data.read(root)
        return cls(
            stages=stages,
            rows={
                "in": data.ingested["lines_in"],
                "duplicates": data.ingested["duplicates"],
                "quarantined": data.validated["rows_quarantined"],
                "near-duplicates set aside": _read(root / SPLIT)["set_aside"],
            },
            warnings=data.warnings(),
            metrics=_read(root / METRICS),
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
            "warned": self.warnings,
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


def _read(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def _cell(text: str) -> str:
    """Return `text` as it may stand in a cell of a Markdown table."""
    return " ".join(text.split()).replace("|", r"\|")


def _with_interval(metrics: Mapping[str, float], name: str) -> str:
    return f"{metrics[name]:.3f} [{metrics[f'{name}_low']:.3f}, {metrics[f'{name}_high']:.3f}]"
