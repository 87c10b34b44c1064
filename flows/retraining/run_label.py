"""What Prefect's UI shows of a run before it is opened: its name and its tags."""

from pathlib import Path
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.runtime import flow_run

from bertline.project.git import git
from bertline.project.layout import INGEST_REPORT, OUTPUTS
from bertline.project.lock_file import recorded_stages
from bertline.rows.incoming import INCOMING

_DIGITS = 7


def current_run() -> FlowRun:
    """Return the run that this code is part of."""
    context = FlowRunContext.get()
    assert context
    assert context.flow_run
    return context.flow_run


def run_name() -> str:
    """Return the name of the current run: when, why, and the note or else the newest delivery."""
    parameters: dict[str, Any] = flow_run.parameters or {}
    why = parameters.get("why") or why_it_runs()
    about = parameters.get("note") or _newest_delivery(Path.cwd())
    return f"{flow_run.scheduled_start_time:%Y-%m-%d %H:%M} {why}" + (f": {about}" if about else "")


def why_it_runs() -> str:
    """Return what started the current run: the schedule, an event, or a person."""
    run = current_run()
    if run.auto_scheduled:
        return "schedule"
    return "event" if is_by_event() else "by hand"


def is_by_event() -> bool:
    """Return whether a trigger in prefect.yaml, or another automation, started the current run."""
    author = current_run().created_by
    return author is not None and author.type == "AUTOMATION"


def add_tags(*tags: str | None) -> None:
    """Tag the current run with those of `tags` that are known."""
    run = current_run()
    run.tags = sorted({*run.tags, *filter(None, tags)})
    with get_client(sync_client=True) as client:
        client.update_flow_run(run.id, tags=run.tags)


def code_tag(root: Path) -> str:
    """Return the tag of the commit that runs."""
    return f"code:{git(root, 'rev-parse', f'--short={_DIGITS}', 'HEAD')}"


def data_tag(root: Path) -> str | None:
    """Return the tag of the rows that `ingest` made last; None if it never did."""
    outs = recorded_stages(root).get(OUTPUTS[INGEST_REPORT], {}).get("outs", [])
    return f"data:{outs[0]['md5'][:_DIGITS]}" if outs else None


def champion_tag(version: str | None) -> str | None:
    """Return the tag of the champion, if there is one."""
    return f"champion:{version}" if version else None


def _newest_delivery(root: Path) -> str | None:
    files = [path for path in (root / INCOMING).rglob("*") if path.is_file() and path.name[0] != "."]
    return max(files, key=lambda path: path.stat().st_mtime).name if files else None
