"""The retraining: preflight, new data, the pipeline of dvc.yaml, the verdict on its model, and the promotion.

`python -m flows.retrain` runs it here and now; prefect.yaml deploys it. Guarantees: at most one run per
checkout; a model that is not promoted changes nothing outside the pipeline's outputs; run again after an
interruption, it goes on from there. Nothing but the fetch is retried: what failed is shown. `end_states`
says what a run can end as.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
from prefect import State, flow, tags, task
from prefect.cache_policies import NO_CACHE
from prefect.settings import PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS

from bertline.project.deployments import PREFECT_FILE, Project
from bertline.project.recovery import our_turn
from bertline.project.reproduction import StageError, prepared
from bertline.project.signals import interrupt_on_signals
from bertline.promotion import promote as promotion
from bertline.promotion.run_log import append_failure, append_run, read_runs
from bertline.registry.git_remote import chosen_remote, share
from bertline.registry.registry import Registry
from flows import environment
from flows.connection import find_server, require_answer, require_password, talking_to
from flows.fetch import fetch_if_asked
from flows.logs import prepare_output, quiet_console, run_logger
from flows.retraining import artifacts, cooldown, end_states, preflight, trend
from flows.retraining.dvc_tasks import run_pipeline
from flows.retraining.heartbeat import heartbeats, without_heartbeat_of_prefect
from flows.retraining.run_label import add_tags, champion_tag, code_tag, data_tag, run_name, why_it_runs
from flows.retraining.summary import Data, Summary
from flows.retraining.time_limit import PROMOTION_SECONDS, time_limit
from flows.retraining.turn import taken
from flows.server import start_server


@flow(name="retrain", flow_run_name=run_name)
def retrain(
    force: bool = False,
    until: str = "",
    dry_run: bool = False,
    push: str = "",
    note: str = "",
    why: str = "",
) -> Summary | None:
    """Retrain the classifier of the current folder; promote the model if it passes every gate.

    Args:
        force: Run the stages again, also those that are up to date or in DVC's run cache.
        until: The stage of dvc.yaml to stop after, e.g. validate. Empty: all stages, then the verdict.
        dry_run: Come to the verdict, and promote nothing.
        push: The git remote to push the version to. Empty: promote.push in params.yaml.
        note: Words about this run, for its name and for the message of the version.
        why: What started the run, for its name. Empty: schedule, event or by hand, as the server knows it.
    """
    prepare_output()
    with heartbeats():
        # Prefect takes a state that a flow returns as the end of the run.
        return _retrain(  # type: ignore[return-value]
            Path.cwd(), force=force, until=until, dry_run=dry_run, push=push, note=note, why=why
        )


# They are JSON as they are. Prefect would import FastAPI to make them so: 0.15 s.
retrain.serialize_parameters = dict  # type: ignore[method-assign, assignment]


def _retrain(
    root: Path, *, force: bool, until: str, dry_run: bool, push: str, note: str, why: str
) -> State[Any]:
    """Do what the flow says, and return the final state of the run."""
    began = time.monotonic()
    try:
        with prepared(root), taken(root) as unchecked:
            if reason := cooldown.postponed(root):
                return end_states.cooling_down(reason)
            if unchecked:
                preflight.check(root, push, until)
            add_tags(code_tag(root))
            fetch_if_asked(root)
            states = _run_pipeline(root, until, force=force)
            if until:
                return end_states.partial(until)
            remote = chosen_remote(root, push)
            with time_limit(PROMOTION_SECONDS):
                return _conclude(root, states, dry_run=dry_run, push=remote, note=note, why=why, began=began)
    except (ValueError, OSError) as error:  # its message is for the user; a traceback tells no more
        ended = end_states.stopped(root, error)
        with suppress(OSError, httpx.HTTPError):  # the disk may be full, or the server gone
            took = time.monotonic() - began
            started_by = why or why_it_runs()
            append_failure(
                root, str(ended.name), str(ended.message), started_by=started_by, note=note, seconds=took
            )
            _show_trend(root, logged=True)
        return ended


def _run_pipeline(root: Path, until: str, *, force: bool) -> dict[str, State[Any]]:
    """Run the pipeline; the validation of its data becomes an artifact, also if it stopped the run."""
    try:
        states = run_pipeline(root, until, force=force)
    except StageError as error:
        add_tags(data_tag(root))
        if data := end_states.stopped_batch(root, error):
            artifacts.show_data(data)
        raise
    add_tags(data_tag(root))
    if "validate" in states:
        artifacts.show_data(Data.read(root))
    return states


def _conclude(
    root: Path,
    states: dict[str, State[Any]],
    *,
    dry_run: bool,
    push: str | None,
    note: str,
    why: str,
    began: float,
) -> State[Summary]:
    """Come to the verdict and do as it says; return the final state of the run."""
    stages = {name: state.name or "" for name, state in states.items()}
    decision = compare(root, wait_for=[*states.values()])
    version = promote(root, decision, note, push) if decision.promote and not dry_run else None
    shared = None if dry_run else _share(root, push, version)
    summary = Summary.read(root, stages=stages, decision=decision, version=version, shared=shared, note=note)
    ended = end_states.decided(decision, version, stages.values(), summary)
    logged = bool(version) or (set(stages.values()) != {"Cached"} and not dry_run)
    if logged:
        append_run(
            root,
            decision,
            version=version,
            started_by=why or why_it_runs(),
            note=note,
            seconds=time.monotonic() - began,
        )
    add_tags(champion_tag(version or decision.champion))
    artifacts.show_summary(summary)
    _show_trend(root, logged=logged)
    return ended


def _show_trend(root: Path, *, logged: bool) -> None:
    """Show how the runs have developed; tell the summary of a week if this one, if `logged`, is due to."""
    runs = [*read_runs(root)]
    trend.show_trend(runs)
    if logged:
        trend.tell_week(runs)


@task(task_run_name="compare", cache_policy=NO_CACHE, persist_result=False)
def compare(root: Path) -> promotion.PromotionDecision:
    """Compare the candidate with the baseline and the champion."""
    decision = promotion.compare_with_champion(root)
    run_logger().info("%s", decision.headline)
    if decision.no_comparison:
        run_logger().warning("no page compares it with the champion: %s", decision.no_comparison)
    return decision


@task(task_run_name="promote", cache_policy=NO_CACHE, persist_result=False)
def promote(root: Path, decision: promotion.PromotionDecision, note: str, push: str | None) -> str:
    """Register the candidate, make it the champion and return its version."""
    version = promotion.promote(root, decision, note=note, push=push).name
    run_logger().info("%s is the champion now", version)
    return version


def _share(root: Path, remote: str | None, version: str | None) -> str | None:
    """Push `version`, or what an earlier run could not push; return a line on that."""
    line = share(root, remote, Registry(root).find(version) if version else None)
    if line:
        run_logger().info("%s", line)
    return line


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the flow, print its summary and return the exit status."""
    options = vars(_parse(arguments))
    detailed = options.pop("exit_code")
    root = Path.cwd()
    quiet_console()
    interrupt_on_signals()
    try:
        with prepared(root), our_turn(root, say=print):
            # here, to refuse before there is a run or a server
            preflight.check(root, options["push"], options["until"])
            with talking_to(_server(root)), without_heartbeat_of_prefect(), tags(*_project(root)):
                state = retrain(**options, return_state=True)
        if not state.is_completed():
            raise _error(state)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return end_states.exit_status(end_states.stopped(root, error), detailed=detailed)
    except httpx.HTTPError as error:  # only Prefect's client speaks HTTP in this process
        refused = isinstance(error, httpx.HTTPStatusError)
        what = f"the Prefect server {'refuses' if refused else 'is gone'} ({error})"
        kept = "the stages that ended are kept: run the same command again to continue"
        print(f"error: {what}; {kept}", file=sys.stderr)
        return end_states.FAILED
    except KeyboardInterrupt:
        print("error: interrupted; run the same command again to continue", file=sys.stderr)
        return end_states.INTERRUPTED
    summary = state.result()
    print(summary.text() if summary else state.message)
    return end_states.exit_status(state, detailed=detailed)


def _error(state: State[Any]) -> Exception:
    """Return what a run ended with that did not complete."""
    error = state.result(raise_on_failure=False)
    return error if isinstance(error, Exception) else ValueError(state.message or state.name)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m flows.retrain",
        description="Retrain the classifier of this folder; promote the model if it passes every gate.",
        epilog="Exit status: 0 ended well, 1 failed, 3 the batch was stopped, 130 interrupted.",
    )
    parser.add_argument("--force", action="store_true", help="run all stages again, also what is up to date")
    parser.add_argument("--dry-run", action="store_true", help="come to the verdict, and promote nothing")
    parser.add_argument("--until", default="", metavar="STAGE", help="the stage of dvc.yaml to stop after")
    parser.add_argument(
        "--push",
        default="",
        metavar="REMOTE",
        help="the git remote to push the version to; default: promote.push in params.yaml",
    )
    parser.add_argument("--note", default="", help="words about this run, for its name and its version")
    parser.add_argument("--why", default="", help="what started the run, for its name; default: by hand")
    parser.add_argument(
        "--exit-code",
        action="store_true",
        help="end with 10 if the champion was kept, 11 if a person must decide, 12 if nothing was new",
    )
    return parser.parse_args(arguments)


def _project(root: Path) -> list[str]:
    """Return the tag of the project, by which the server's automations see its runs."""
    return [Project.read(root).name] if (root / PREFECT_FILE).exists() else []


def _server(root: Path) -> str:
    """Return the URL of the server that is known, or of one that ends with this process."""
    if url := find_server(root):
        require_answer(url)
        return url
    environment.require_usable()
    require_password("127.0.0.1")
    print(
        "Starting Prefect's own server, some 20 seconds (make up keeps one running) ...",
        flush=True,
    )
    seconds = PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS.value()
    return start_server(root, seconds=seconds)


if __name__ == "__main__":
    sys.exit(main())
