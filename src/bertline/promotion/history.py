"""The versions and the logged runs of a project, one line each, for people."""

from dataclasses import dataclass, replace

from bertline.project.layout import METRICS, VALIDATION_RESULT
from bertline.promotion.promote import decisive
from bertline.promotion.run_log import LoggedRun, read_runs
from bertline.registry.registry import Registry
from bertline.registry.versions import Version

_NOTE = "note "  # how the line of a note begins in a version's message


@dataclass(frozen=True, kw_only=True)
class Line:
    """A version, or a run that was not promoted. What is not known of an old one is None."""

    at: int  # seconds since 1970
    version: str | None
    state: str  # champion, kept, asked, failed, or empty
    rows: int | None  # that `validate` kept
    score: float | None  # macro-F1 on the test split of that time
    change: float | None  # of the score, to the version before
    why: str


def read_history(registry: Registry, *, everything: bool) -> list[Line]:
    """Return the versions, oldest first; with `everything` also the runs of this checkout without one."""
    champion = registry.champion()
    versions = registry.versions()
    lines = [_version_line(registry, version, is_champion=version == champion) for version in versions]
    if everything:
        lines += [_run_line(run) for run in read_runs(registry.root) if run.version is None]
    return _with_changes(sorted(lines, key=lambda line: line.at))


def _version_line(registry: Registry, version: Version, *, is_champion: bool) -> Line:
    validated, metrics = registry.reports(version, VALIDATION_RESULT, METRICS)
    return Line(
        at=version.registered,
        version=version.name,
        state="champion" if is_champion else "",
        rows=validated.get("rows_kept"),
        score=metrics.get("candidate", {}).get("macro_f1"),
        change=None,
        why=_why(version.reasons, ""),
    )


def _run_line(run: LoggedRun) -> Line:
    return Line(
        at=run.at,
        version=None,
        state={"ask": "asked", "keep": "kept"}.get(run.verdict, "failed"),
        rows=run.rows,
        score=run.macro_f1,
        change=None,
        why=_why(run.reasons, run.note),
    )


def _with_changes(lines: list[Line]) -> list[Line]:
    """Return `lines` with the difference of each score to that of the last version before it."""
    changed: list[Line] = []
    before: float | None = None
    for line in lines:
        change = None if line.score is None or before is None else line.score - before
        changed.append(replace(line, change=change))
        if line.version:
            before = line.score
    return changed


def _why(reasons: str, note: str) -> str:
    """Return the note and what decided: what failed or was asked, else the last gate, on the champion."""
    lines = reasons.splitlines()
    notes = [note] if note else [each.split(maxsplit=1)[1] for each in lines if each.startswith(_NOTE)]
    gates = [each for each in lines if not each.startswith(_NOTE)]
    last = [each.removeprefix("passed").strip() for each in gates[-1:]]
    return "; ".join([*notes, *(decisive(reasons) or last)])
