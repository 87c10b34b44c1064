"""The runs of this checkout that came to a verdict or failed, a line each in .bertline/runs.jsonl.

The log is local and for people: `bertline history --all` shows it. A damaged line is left out, and one of
another version of bertline keeps what is known of it.
"""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from bertline.project.layout import INGEST_REPORT, METRICS, SCRATCH, VALIDATION_RESULT
from bertline.promotion.promote import PromotionDecision

LOG = SCRATCH / "runs.jsonl"


@dataclass(frozen=True, kw_only=True)
class LoggedRun:
    """A run that came to a verdict, or failed."""

    at: int  # seconds since 1970
    verdict: str  # promote, keep or ask; of a run without a verdict, the name of its state
    seconds: float | None = None  # from its start to its end
    version: str | None = None  # what the candidate became
    champion: str | None = None  # at the time of the verdict
    lines_in: int | None = None  # that `ingest` read
    duplicates: int | None = None
    quarantined: int | None = None
    rows: int | None = None  # that `validate` kept
    macro_f1: float | None = None  # on the test split
    change: float | None = None  # of macro-F1, to the champion's on the same rows
    started_by: str = ""
    note: str = ""
    reasons: str = ""

    @property
    def judged(self) -> bool:
        """Whether it came to a verdict."""
        return self.verdict in ("promote", "keep", "ask")


def append_run(
    root: Path,
    decision: PromotionDecision,
    *,
    version: str | None,
    started_by: str,
    note: str,
    seconds: float,
) -> None:
    """Add a line on the run that came to `decision` after so many seconds."""
    ingested, validated = _read(root / INGEST_REPORT), _read(root / VALIDATION_RESULT)
    score = _read(root / METRICS).get("candidate", {}).get("macro_f1")
    champions = (decision.champion_scores or {}).get("macro_f1")
    run = LoggedRun(
        at=int(time.time()),
        verdict=decision.verdict,
        seconds=round(seconds, 1),
        version=version,
        champion=decision.champion,
        lines_in=ingested.get("lines_in"),
        duplicates=ingested.get("duplicates"),
        quarantined=validated.get("rows_quarantined"),
        rows=validated.get("rows_kept"),
        macro_f1=score,
        change=None if score is None or champions is None else score - champions,
        started_by=started_by,
        note=note,
        reasons=decision.reasons or decision.headline,
    )
    _append(root, run)


def append_failure(root: Path, state: str, why: str, *, started_by: str, note: str, seconds: float) -> None:
    """Add a line on the run that ended in `state` without a verdict."""
    run = LoggedRun(
        at=int(time.time()),
        verdict=state,
        seconds=round(seconds, 1),
        started_by=started_by,
        note=note,
        reasons=why,
    )
    _append(root, run)


def _append(root: Path, run: LoggedRun) -> None:
    path = root / LOG
    path.parent.mkdir(exist_ok=True)
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(asdict(run), ensure_ascii=False) + "\n")


def read_runs(root: Path) -> Iterator[LoggedRun]:
    """Yield the logged runs of the checkout `root`, oldest first."""
    known = {each.name for each in fields(LoggedRun)}
    path = root / LOG
    for line in path.read_text("utf-8").splitlines() if path.exists() else ():
        with suppress(ValueError, TypeError, AttributeError):  # e.g. cut off by a full disk
            yield LoggedRun(**{name: value for name, value in json.loads(line).items() if name in known})


def _read(path: Path) -> Mapping[str, Any]:
    document: Mapping[str, Any] = json.loads(path.read_text("utf-8"))
    return document
