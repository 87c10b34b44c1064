"""New data: `bertline fetch` as a Prefect task, with retries and Secret blocks, and as a flow of its own.

The retraining fetches before its stages. The flow is for a schedule that looks more often: new rows send the
event on which `triggers` of prefect.yaml start a retraining, once.

Guarantees that a user's mistake is not tried again, and that no log and no message shows a secret.
"""

import os
from pathlib import Path
from typing import Any

from prefect import State, flow, task
from prefect.blocks.system import Secret
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.states import Completed, Failed
from prefect.tasks import exponential_backoff

from bertline.core.params_loading import PARAMS_FILE, load_params
from bertline.fetching.address import block_name
from bertline.params.fetch import Params
from bertline.project.deployments import Project
from flows.logs import prepare_output, run_logger
from flows.retraining.end_states import one_line
from flows.retraining.turn import taken
from flows.watch import Watcher, tell_delivery


def fetch_if_asked(root: Path) -> None:
    """Fetch what `fetch.source` of params.yaml names; without one, do nothing at all."""
    params = load_params(Params, root / PARAMS_FILE)
    if params.source is not None:
        Watcher(root).leave_out(fetch(params))


@flow(name="fetch", flow_run_name="fetch")
def fetch_deliveries() -> None:
    """Fetch what `fetch.source` of params.yaml names; tell the server if that brought new rows."""
    prepare_output()
    # Prefect takes a state that a flow returns as the end of the run.
    return _fetch_deliveries(Path.cwd())  # type: ignore[return-value]


def _fetch_deliveries(root: Path) -> State[None]:
    try:
        with taken(root):
            landed = fetch(load_params(Params, root / PARAMS_FILE))
    except (ValueError, OSError) as error:  # its message is for the user; a traceback tells no more
        return Failed(message=one_line(str(error)), data=error)
    if not landed:
        return Completed(name="NothingNew", message="no new rows")
    files = [each.as_posix() for each in landed]
    with get_client(sync_client=True) as client:
        tell_delivery(client, Project.read(root).name, files)
    Watcher(root).leave_out(landed)
    return Completed(name="Fetched", message=f"new rows: {', '.join(files)}")


def _is_outside(_task: Any, _run: Any, state: State[Any]) -> bool:
    error = state.result(raise_on_failure=False)
    run_logger().warning("%s", error)
    return not isinstance(error, ValueError)


@task(
    task_run_name="fetch",
    retries=3,
    retry_delay_seconds=exponential_backoff(10),  # after 10, 20 and 40 seconds
    retry_condition_fn=_is_outside,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def fetch(params: Params) -> list[Path]:
    """Land new data in data/incoming/ of the current folder, and return the files that are new or changed."""
    from bertline.fetching.fetch import fetch as bring  # here: most flows fetch nothing, and it takes 0.2 s

    logger = run_logger()
    landed = bring(params, _find_secret)
    for each in landed:
        logger.info("%s", each)
    if not landed:
        logger.info("no new rows")
    return [each.path for each in landed if each.changed]


def _find_secret(variable: str) -> str | None:
    """Return the value of an environment variable, else of its Secret block; None if there is neither."""
    if value := os.environ.get(variable):
        return value
    try:
        secret = Secret.load(block_name(variable))
    except ValueError:  # Prefect's word for a block that is not there
        return None
    assert isinstance(secret, Secret)
    return str(secret.get())
