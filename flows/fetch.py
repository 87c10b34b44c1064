"""New data, before the pipeline: what `bertline fetch` does, with Prefect's retries and Secret blocks.

Guarantees that a user's mistake is not tried again, and that neither a log nor a message shows a secret.
"""

import os
from pathlib import Path
from typing import Any

from prefect import State, task
from prefect.blocks.system import Secret
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from prefect.tasks import exponential_backoff

from bertline.fetching.address import block_name
from bertline.params.fetch import Params
from bertline.params.loading import PARAMS_FILE, load_params


def fetch_if_asked(root: Path) -> None:
    """Fetch what `fetch.source` of params.yaml names; without one, do nothing at all."""
    params = load_params(Params, root / PARAMS_FILE)
    if params.source is not None:
        fetch(params)


def _is_outside(_task: Any, _run: Any, state: State[Any]) -> bool:
    return not isinstance(state.result(raise_on_failure=False), ValueError)


@task(
    task_run_name="fetch",
    retries=3,
    retry_delay_seconds=exponential_backoff(10),  # after 10, 20 and 40 seconds
    retry_condition_fn=_is_outside,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def fetch(params: Params) -> list[str]:
    """Land new data in data/incoming/ of the current folder, and return the paths of the files."""
    from bertline.fetching.fetch import fetch as bring  # here: most flows fetch nothing, and it takes 0.2 s

    logger = get_run_logger()
    landed = bring(params, _find_secret)
    for each in landed:
        logger.info("%s", each)
    if not landed:
        logger.info("no new rows")
    return [each.path.as_posix() for each in landed]


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
