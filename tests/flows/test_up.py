"""`bertline up` and `bertline down`, in real processes, on a toy project."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from bertline.project.supervisor import FOLDER, MARK, Running, find_running
from flows.up import Addresses
from tests.support.prefect_server import is_healthy
from tests.support.scheduling import documented_commands, pause, schedule, started_runs
from tests.support.services import free_port
from tests.support.toy_project import own, run_in
from tests.support.waiting import wait_until

REPORT = "reports/evaluation/report.html"


UP, DOWN = documented_commands()


def up(root: Path, env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*UP, *arguments], cwd=root, env=env, capture_output=True, text=True, check=False)


def running(root: Path) -> Running:
    found = find_running(root)
    assert found
    return found


def marked(root: Path) -> list[psutil.Process]:
    """Return all processes that `bertline up` has started in `root`, with their children."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(root):
                found.append(process)
        except (psutil.Error, OSError):
            pass
    return found


@pytest.fixture(scope="module")
def started(
    template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, dict[str, str], str]]:
    """A toy project with everything started: its folder, the environment, and what was printed."""
    root = own(template, tmp_path_factory.mktemp("up"))
    schedule(root)
    (root / REPORT).parent.mkdir(parents=True)
    (root / REPORT).write_text("<p>a report</p>")
    theirs = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    env = theirs | {
        "PREFECT_HOME": str(root.parent / "prefect"),
        "PREFECT_SERVER_API_PORT": str(free_port()),
    }
    try:
        done = up(root, env, "--reports-port", str(free_port()))
        assert done.returncode == 0, done.stderr + (root / FOLDER / "supervisor.log").read_text()
        yield root, env, done.stdout
    finally:
        subprocess.run(DOWN, cwd=root, check=True)
    assert marked(root) == []
    assert find_running(root) is None


Started = tuple[Path, dict[str, str], str]


def test_the_addresses_that_are_printed_answer(started: Started) -> None:
    root, _, printed = started
    addresses = running(root).addresses
    assert is_healthy(addresses["PREFECT_API_URL"])
    assert httpx.get(f"{addresses['reports']}/{REPORT}", trust_env=False).text == "<p>a report</p>"
    for each in addresses.values():
        assert each in printed


def test_the_run_that_the_schedule_asks_for_completes(started: Started) -> None:
    root = started[0]
    api = running(root).addresses["PREFECT_API_URL"]
    wait_until(lambda: any(run["end_time"] for run in started_runs(api)), seconds=400)
    pause(api)
    wait_until(lambda: all(run["end_time"] for run in started_runs(api)))
    ends = {(run["state_type"], run["auto_scheduled"]) for run in started_runs(api)}
    assert ends == {("COMPLETED", True)}
    assert "text-classifier@v1.0.0" in run_in(root, "git", "tag")


def test_the_server_has_a_worker_that_waits_for_the_deployment(started: Started) -> None:
    api = running(started[0]).addresses["PREFECT_API_URL"]
    (deployment,) = httpx.post(f"{api}/deployments/filter", json={}, trust_env=False).json()
    assert deployment["name"] == "bertline-weekly"

    def is_online() -> bool:
        pool = deployment["work_pool_name"]
        url = f"{api}/work_pools/{pool}/workers/filter"
        return [each["status"] for each in httpx.post(url, json={}, trust_env=False).json()] == ["ONLINE"]

    wait_until(is_online)


def test_a_second_up_is_refused_with_the_address(started: Started) -> None:
    root, env, _ = started
    done = up(root, env)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: everything runs already in {root}")
    assert running(root).addresses["Prefect"] in done.stderr


def test_a_server_that_was_killed_is_started_again(started: Started) -> None:
    root = started[0]
    before = running(root).services["server"]
    assert before
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: running(root).services["server"] not in (None, before))
    wait_until(lambda: is_healthy(running(root).addresses["PREFECT_API_URL"]))


def test_a_page_elsewhere_that_points_its_name_at_loopback_reads_nothing(started: Started) -> None:
    url = f"{running(started[0]).addresses['reports']}/{REPORT}"
    assert httpx.get(url, trust_env=False, headers={"Host": "evil.example"}).status_code == 400


@pytest.mark.parametrize("path", ["/params.yaml", "/reports/../params.yaml", "/reports/%2e%2e/params.yaml"])
def test_nothing_but_the_reports_is_served(started: Started, path: str) -> None:
    answer = httpx.get(f"{running(started[0]).addresses['reports']}{path}", trust_env=False)
    assert answer.status_code == 404


def test_a_port_that_is_taken_is_named_with_what_takes_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        addresses = Addresses(api="http://127.0.0.1:9/api", reports_port=port, own_server=None)
        with pytest.raises(
            ValueError, match=rf"^port {port} for report pages .*process {os.getpid()}.*--reports"
        ):
            addresses.require_free()
