"""The time after a retraining in which an event starts no other one; Prefect has no such setting.

Guarantees that no event is lost: where a run of a deployment comes too early, one run is scheduled for the
end of the cool-down. Runs of the schedule and of people are not held up. What counts is the last run that
came to a verdict in this checkout: after a failed one, the next delivery is tried at once.
"""

import time
from datetime import UTC, datetime
from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.states import Scheduled

from bertline.core.params_loading import PARAMS_FILE, load_params
from bertline.params.flow import Params
from bertline.promotion.run_log import read_runs
from flows.retraining.run_label import current_run, is_by_event


def postponed(root: Path) -> str | None:
    """Return why the current run must not go on, once a later one is scheduled; None if it may."""
    if not is_by_event():
        return None
    seconds = load_params(Params, root / PARAMS_FILE).cooldown
    last = max((run.at for run in read_runs(root) if run.judged), default=0)
    if last + seconds <= time.time():
        return None
    end = datetime.fromtimestamp(last + seconds, UTC)
    message = (
        f"cool-down until {end:%Y-%m-%d %H:%M:%S} UTC (flow.cooldown: {seconds} seconds after the last run)"
    )
    return f"{message}; a run is scheduled for then" if _schedule(end) else message


def _schedule(at: datetime) -> bool:
    """Schedule one run of the current deployment for `at`, however often it is called; False without one."""
    run = current_run()
    if run.deployment_id is None:
        return False
    with get_client(sync_client=True) as client:
        client.create_flow_run_from_deployment(
            run.deployment_id,
            parameters=run.parameters | {"why": "event, after the cool-down"},
            state=Scheduled(scheduled_time=at),
            idempotency_key=f"cool-down {run.deployment_id} {at:%Y-%m-%d %H:%M:%S}",
        )
    return True
