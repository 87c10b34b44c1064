"""A supervisor in a process of its own, with services that are plain programs."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from bertline.project.supervisor import FOLDER, LOG_BYTES, Running, find_running, stop_running
from tests.support.waiting import wait_until

PROGRAM = """
import sys
from pathlib import Path
from bertline.project.signals import interrupt_on_signals
from bertline.project.supervisor import Service, Supervisor

interrupt_on_signals()
supervisor = Supervisor(Path.cwd(), {}, print)
try:
    supervisor.start(Service(name="toy", command=[sys.executable, "-u", "-c", sys.argv[1]]))
    supervisor.is_ready()
    supervisor.run_until(lambda: False)
except KeyboardInterrupt:
    pass
finally:
    supervisor.stop()
"""
SLEEPS = "import time; print('here'); time.sleep(300)"
Supervise = Callable[[str], subprocess.Popen[bytes]]


def running(root: Path) -> Running:
    found = find_running(root)
    assert found
    return found


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Supervise]:
    def supervise(program: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-c", PROGRAM, program], cwd=tmp_path)
        started.append(process)
        wait_until(lambda: (now := find_running(tmp_path)) and now.ready, 60)
        return process

    started: list[subprocess.Popen[bytes]] = []
    yield supervise
    stop_running(tmp_path)
    for process in started:
        process.wait(timeout=30)


def test_a_service_that_is_killed_is_started_again(tmp_path: Path, supervise: Supervise) -> None:
    supervise(SLEEPS)
    before = running(tmp_path).services["toy"]
    assert before
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: running(tmp_path).services["toy"] not in (None, before), 60)


def test_sigterm_stops_what_was_started_and_nothing_is_written_down_any_more(
    tmp_path: Path, supervise: Supervise
) -> None:
    process = supervise(SLEEPS)
    service = running(tmp_path).services["toy"]
    assert service
    process.terminate()
    process.wait(timeout=30)
    assert not psutil.pid_exists(service)
    assert find_running(tmp_path) is None


def test_what_outlived_its_service_is_stopped_with_the_rest(tmp_path: Path, supervise: Supervise) -> None:
    child = (
        "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)']"
    )
    supervise(f"{child}, start_new_session=True); print(p.pid, flush=True)\nimport time; time.sleep(300)")
    log = tmp_path / FOLDER / "toy.log"
    wait_until(lambda: log.read_text().endswith("\n"), 60)
    orphan = int(log.read_text())
    service = running(tmp_path).services["toy"]
    assert service
    os.kill(service, signal.SIGKILL)
    wait_until(lambda: running(tmp_path).services["toy"] != service, 60)
    assert psutil.pid_exists(orphan)
    assert stop_running(tmp_path)
    wait_until(lambda: not psutil.pid_exists(orphan), 60)


def test_after_kill_9_of_the_supervisor_its_services_are_found_and_stopped(
    tmp_path: Path, supervise: Supervise
) -> None:
    process = supervise(SLEEPS)
    service = running(tmp_path).services["toy"]
    assert service
    process.kill()
    process.wait()
    left = running(tmp_path)
    assert (left.alive, left.services["toy"]) == (False, service)
    assert stop_running(tmp_path)
    wait_until(lambda: not psutil.pid_exists(service), 60)


def test_a_log_does_not_grow_without_bound(tmp_path: Path, supervise: Supervise) -> None:
    supervise(f"import time\nfor n in range(3): print('x' * {LOG_BYTES}, n); time.sleep(1)\ntime.sleep(300)")
    older = tmp_path / FOLDER / "toy.log.1"
    wait_until(lambda: older.exists() and (tmp_path / FOLDER / "toy.log").stat().st_size <= LOG_BYTES, 60)
    assert older.stat().st_size < 3 * LOG_BYTES
