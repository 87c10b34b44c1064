"""How the runs of this checkout develop: a table that each run shows, and a summary that is told once a week.

Both come from the log of the checkout (`promotion/run_log.py`), which also has the runs that failed. A run
whose process was killed leaves no line there.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from prefect.artifacts import create_markdown_artifact
from prefect.events import emit_event

from bertline.promotion.run_log import LoggedRun
from flows.retraining.markdown import table
from flows.retraining.run_label import current_run

SUMMARY = "bertline.summary"
"""The event that carries the summary of a week, for the message `summary`."""

_SHOWN = 12  # runs
_VERDICTS = {
    "promote": "not promoted",  # a dry run
    "keep": "kept",
    "ask": "asked",
    "BatchStopped": "batch stopped",
    "Failed": "failed",
}
_COLUMNS = ("date (UTC)", "verdict", "read", "duplicates", "quarantined", "rows", "macro-F1", "took")


def show_trend(runs: Sequence[LoggedRun]) -> None:
    """Make an artifact of the last of `runs`."""
    if last := runs[-_SHOWN:]:
        create_markdown_artifact(trend_markdown(last), key="trend", description=f"The last {len(last)} runs")


def tell_week(runs: Sequence[LoggedRun]) -> None:
    """Send the event with the summary of a week, if the last of `runs`, the current one, is due to."""
    if summary := week_summary(runs):
        run = current_run()
        resource = {"prefect.resource.id": f"prefect.flow-run.{run.id}", "prefect.resource.name": run.name}
        related = [
            {"prefect.resource.id": f"prefect.tag.{tag}", "prefect.resource.role": "tag"} for tag in run.tags
        ]
        emit_event(SUMMARY, resource=resource, related=related, payload={"summary": summary})


def week_summary(runs: Sequence[LoggedRun]) -> str | None:
    """Return a line on the runs since the week before, if the last of `runs` is the first of its week."""
    *before, last = runs
    if not before or _week(before[-1]) == _week(last):
        return None
    since = [run for run in runs if _week(run) >= _week(before[-1])]
    ends = Counter("promoted" if run.version else _verdict(run) for run in since)
    parts = [", ".join(f"{count} {end}" for end, count in ends.items())]
    scored = [run for run in since if run.macro_f1 is not None]
    if scored:
        newest = scored[-1]
        parts.append(f"macro-F1 {_score(newest)}")
        parts += [f"{newest.rows:,} rows"] if newest.rows is not None else []
    else:
        parts.append(last.reasons)
    parts += [f"the last run took {_length(last.seconds)}"] if last.seconds is not None else []
    return f"since {_time(since[0]):%Y-%m-%d}: {'; '.join(filter(None, parts))}"


def trend_markdown(runs: Sequence[LoggedRun]) -> str:
    """Return a table of the numbers of `runs`, and a list of what is to be said of each; the newest first."""
    newest_first = runs[::-1]
    rows = [
        (
            f"{_time(run):%m-%d %H:%M}",
            _verdict(run),
            *(_count(each) for each in (run.lines_in, run.duplicates, run.quarantined, run.rows)),
            _score(run),
            "" if run.seconds is None else _length(run.seconds),
        )
        for run in newest_first
    ]
    words = [
        f"- {_time(run):%m-%d %H:%M}, {run.note or run.started_by or _verdict(run)}"
        + ("" if run.judged else f": {run.reasons}")
        for run in newest_first
    ]
    legend = "In brackets: the difference to the champion of that time."
    return "\n\n".join([table(_COLUMNS, rows), legend, "\n".join(words)]) + "\n"


def _verdict(run: LoggedRun) -> str:
    return run.version or _VERDICTS.get(run.verdict, run.verdict)


def _score(run: LoggedRun) -> str:
    """Return macro-F1, and its difference to the champion's on the same rows."""
    if run.macro_f1 is None:
        return ""
    return f"{run.macro_f1:.3f}" + ("" if run.change is None else f" ({run.change:+.3f})")


def _time(run: LoggedRun) -> datetime:
    return datetime.fromtimestamp(run.at, UTC)


def _week(run: LoggedRun) -> tuple[int, int]:
    year, week, _ = _time(run).isocalendar()
    return year, week


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def _length(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
