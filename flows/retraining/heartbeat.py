"""The heartbeats of a run by hand, by which the server knows that its process lives.

Prefect's own heartbeat sleeps for whole seconds, and a flow that ends waits for it: half a second on average,
a fifth of a run that has nothing to do. A run of a deployment keeps it, since Prefect starts its process.
"""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import copy_context

from prefect.events import emit_event
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, get_current_settings, temporary_settings

from flows.retraining.run_label import current_run


def without_heartbeat_of_prefect() -> AbstractContextManager[object]:
    """Return a block whose flow runs send the heartbeats of `heartbeats` alone."""
    return temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None})


@contextmanager
def heartbeats(seconds: float = 30.0) -> Iterator[None]:
    """Send heartbeats of the current run within the block, one every `seconds`, unless Prefect does."""
    if get_current_settings().flows.heartbeat_frequency is not None:
        yield
        return
    ended = threading.Event()
    thread = threading.Thread(target=copy_context().run, args=(_beat, seconds, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _beat(seconds: float, ended: threading.Event) -> None:
    run = current_run()
    resource = {"prefect.resource.id": f"prefect.flow-run.{run.id}", "prefect.resource.name": run.name}
    roles = {f"prefect.flow.{run.flow_id}": "flow", **{f"prefect.tag.{tag}": "tag" for tag in run.tags}}
    related = [{"prefect.resource.id": name, "prefect.resource.role": role} for name, role in roles.items()]
    while not ended.is_set():
        emit_event("prefect.flow-run.heartbeat", resource, related=related)
        ended.wait(seconds)
