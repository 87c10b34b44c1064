"""Each part of a running retraining dies, `make test-recovery N=3` times, and the next run sets it right.

A trial: new rows, a run that is in the midst of its training, and a second run that is queued. Then something
is killed. The first run must end as docs/operations.md says, and in time. The second one must start by
itself, continue the training from its checkpoint, and end in the `dvc.lock` of a run that nobody interrupted.
"""

import os
from collections.abc import Callable

import pytest

from tests.recovery.site import CRASHED_SECONDS, STEPS, Site, wait_for

TRIALS = int(os.environ.get("N", "1"))
_SLACK = 15.0  # seconds in which the server notices, beside what the bars allow: this machine is busy

pytestmark = [pytest.mark.recovery, pytest.mark.timeout(600)]


def kill_stage(site: Site) -> None:
    site.find("stages.py finetune").kill()


def kill_dvc(site: Site) -> None:
    site.find("bertline.project.reproduce").kill()


def kill_flow(site: Site) -> None:
    for process in site.flow():
        process.kill()


def kill_worker(site: Site) -> None:
    site.kill_worker()
    site.start_worker()


def kill_flow_and_worker(site: Site) -> None:
    site.kill_worker()
    kill_flow(site)
    site.start_worker()


def kill_server(site: Site) -> None:
    site.kill_server()
    site.start_server()


def kill_all(site: Site) -> None:
    """What a power cut does."""
    site.kill_server()
    site.kill_worker()
    for process in site.processes():
        process.kill()
    site.start_server()
    site.start_worker()


def kill_while_dvc_writes(site: Site) -> None:
    for process in site.processes():
        process.kill()
    (site.root / ".dvc/tmp/rwlock").write_text('{"write": {"models/cand')


def cancel(site: Site) -> None:
    site.cancel(site.runs[0])


KINDS: dict[str, tuple[Callable[[Site], None], set[str], float]] = {
    # what dies: how, the state in which the first run ends, and within how many seconds
    "stage": (kill_stage, {"Failed"}, 40),
    "dvc": (kill_dvc, {"Failed"}, 40),
    "flow": (kill_flow, {"Crashed"}, CRASHED_SECONDS),
    "worker": (kill_worker, {"Promoted", "Kept"}, 240),
    "flow and worker": (kill_flow_and_worker, {"Crashed"}, CRASHED_SECONDS),
    "server": (kill_server, {"Promoted", "Kept", "Crashed"}, 240),
    "all": (kill_all, {"Crashed"}, CRASHED_SECONDS),
    "rwlock": (kill_while_dvc_writes, {"Crashed"}, CRASHED_SECONDS),
    "cancel": (cancel, {"Cancelled"}, 40),
}


@pytest.mark.parametrize("trial", range(TRIALS))
@pytest.mark.parametrize("kind", KINDS)
def test_the_run_ends_as_it_must_and_the_next_one_recovers(site: Site, kind: str, trial: int) -> None:
    act, ends, seconds = KINDS[kind]
    expected = site.new_data()
    first = site.start_run()
    wait_for("the training", lambda: len(site.steps()) >= 3, 180)
    second = site.start_run()
    site.runs = [first, second]
    act(site)
    wait_for(f"{kind}: the end of the first run", lambda: is_final(site, first), seconds + _SLACK)
    state = site.state(first)
    assert state["name"] in ends, state
    assert state["type"] == "COMPLETED" or state["message"], "no cause is given"
    wait_for(f"{kind}: the end of the second run", lambda: is_final(site, second), 240)
    after = site.state(second)
    assert after["type"] == "COMPLETED", after
    assert (site.root / "dvc.lock").read_bytes() == expected
    assert len(site.steps()) <= STEPS + 1, "the training began again"  # the step that was killed runs twice
    wait_for("no process is left", lambda: not site.processes(), 60)
    assert site.state(first) == state, "a run that had ended got another state"


def is_final(site: Site, run: str) -> bool:
    return site.state(run)["type"] in {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
