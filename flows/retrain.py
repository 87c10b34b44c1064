"""The retraining: preflight, new data, the pipeline of dvc.yaml, the verdict on its model, and the promotion.

`python -m flows.retrain` runs it here and now; prefect.yaml deploys it. Guarantees: at most one run per
checkout; a model that is not promoted changes nothing outside the pipeline's outputs; run again after an
interruption, it goes on from there. Nothing but the fetch is retried: what failed is shown.
"""

import signal
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
from prefect import State, flow, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.logging import get_run_logger
from prefect.settings import PREFECT_API_URL

from bertline.promotion import promote as promotion
from bertline.promotion.exclusive import only_run
from flows import console, preflight
from flows.bridge import StageError, run_pipeline
from flows.fetch import fetch_if_asked
from flows.summary import Data, Summary


@flow(name="retrain")
def retrain() -> Summary:
    """Retrain the classifier of the current folder; promote the model if it earns it."""
    root = Path.cwd()
    with only_run(root):
        preflight.check(root)
        fetch_if_asked(root)
        states = _run_pipeline(root)
        judgement = judge(root, wait_for=[*states.values()][-1:])
        version: str | None = promote(root, judgement) if judgement.promote else None
        summary = Summary.read(
            root,
            stages={name: state.name or "" for name, state in states.items()},
            judgement=judgement,
            version=version,
        )
    create_table_artifact(summary.metrics_table(), key="metrics", description="On the test split")
    create_markdown_artifact(summary.markdown(), key="verdict", description=summary.verdict)
    return summary


def _run_pipeline(root: Path) -> dict[str, State[Any]]:
    """Run the pipeline; the verdict on its data becomes an artifact, also if it stopped the run."""
    try:
        states = run_pipeline(root)
    except StageError as error:
        if str(error).startswith("error: validate: the batch is stopped"):  # then its report is of this batch
            _show_data(root)
        raise
    _show_data(root)
    return states


def _show_data(root: Path) -> None:
    data = Data.read(root)
    create_markdown_artifact(data.markdown(), key="validation", description=data.headline)


@task(task_run_name="judge", cache_policy=NO_CACHE, persist_result=False)
def judge(root: Path) -> promotion.Judgement:
    """Compare the candidate with the baseline and the champion."""
    judgement = promotion.judge(root)
    get_run_logger().info("%s", judgement.headline)
    return judgement


@task(task_run_name="promote", cache_policy=NO_CACHE, persist_result=False)
def promote(root: Path, judgement: promotion.Judgement) -> str:
    """Register the candidate, make it the champion and return its version."""
    version = promotion.promote(root, judgement).name
    get_run_logger().info("%s is the champion now", version)
    return version


def main() -> int:
    """Run the flow, print its summary and return the exit status."""
    root = Path.cwd()
    console.tame()
    for number in (signal.SIGHUP, signal.SIGTERM):  # a closed terminal and `kill` must clean up like Ctrl-C
        if signal.getsignal(number) is signal.SIG_DFL:  # under nohup it is not
            signal.signal(number, signal.default_int_handler)
    try:
        with only_run(root):
            preflight.check(root)  # here too, to refuse before the server takes its time to start
            if url := PREFECT_API_URL.value():
                _require_server(url)
            else:
                print("Starting Prefect's own server, some 20 seconds (set PREFECT_API_URL to use yours) ...")
                _start_server()
            summary = retrain()
    except (ValueError, OSError, StageError) as error:
        print(f"error: {str(error).removeprefix('error: ')}", file=sys.stderr)  # a stage has its own
        return 1
    except httpx.HTTPError as error:  # only Prefect's client speaks HTTP in this process
        refused = isinstance(error, httpx.HTTPStatusError)
        what = f"the Prefect server {'refuses' if refused else 'is gone'} ({error})"
        kept = "the stages that ended are kept: run the same command again to continue"
        print(f"error: {what}; {kept}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("error: interrupted; run the same command again to continue", file=sys.stderr)
        return 130
    print(summary.text())
    return 0


def _require_server(url: str) -> None:
    with get_client(sync_client=True) as client:
        error = client.api_healthcheck()
    if error:
        raise ValueError(
            f"no Prefect server answers at PREFECT_API_URL={url} ({' '.join(str(error).split())}); "
            "start one with: make ui, or do without: unset PREFECT_API_URL"
        )


def _start_server() -> None:
    """Start the server that the flow would start itself, but out of the reach of Ctrl-C.

    A terminal sends it to every process of the command; without its server, Prefect tries for minutes to
    report how the flow ended. A blocked signal stays blocked in a child process.
    """

    def start() -> None:
        from prefect.server.api.server import SubprocessASGIServer  # takes seconds, and only this needs it

        terminal = {signal.SIGINT, signal.SIGHUP}
        signal.pthread_sigmask(signal.SIG_BLOCK, terminal)  # of this thread and its children only
        SubprocessASGIServer().start()

    thread = threading.Thread(target=start, daemon=True)
    thread.start()
    thread.join()


if __name__ == "__main__":
    sys.exit(main())
