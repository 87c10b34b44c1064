"""The server of one `make run`, in real processes."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from flows.server import LOG
from tests.support.prefect_server import prepared_home
from tests.support.services import Service, Services, errors_in
from tests.support.toy_project import REPOSITORY

RETRAIN = [sys.executable, "-m", "flows.retrain"]
Start = Callable[..., Service]


@pytest.fixture
def start(project: Path, tmp_path_factory: pytest.TempPathFactory, services: Services) -> Start:
    """Start a retraining of the toy project that brings its own server."""
    home = prepared_home(tmp_path_factory)

    def start(**environment: str) -> Service:
        theirs = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        env = theirs | {"PYTHONPATH": str(REPOSITORY), "PREFECT_HOME": str(home)}
        return services.start("retrain", RETRAIN, cwd=project, env=env | environment)

    return start


def servers(project: Path) -> list[psutil.Process]:
    """Return the processes that serve for a run in `project`."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        if "flows.server" in (process.info["cmdline"] or []) and process.info["cwd"] == str(project):
            found.append(process)
    return found


def test_a_proxy_for_the_outside_is_not_used_on_loopback(start: Start, project: Path) -> None:
    dead = {"HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"}
    run = start(**dead, **{name.lower(): url for name, url in dead.items()}, ALL_PROXY="socks5://127.0.0.1:9")
    assert run.process.wait(timeout=500) == 0, run.text()
    assert "promoted: v1.0.0 is the champion now" in run.text()
    assert errors_in((project / LOG).read_text()) == []
    assert servers(project) == []


def test_a_server_that_cannot_start_is_one_error_line_and_leaves_no_process(
    start: Start, project: Path
) -> None:
    run = start(PREFECT_SERVER_DATABASE_CONNECTION_URL="postgresql+asyncpg://owner@127.0.0.1:1/prefect")
    assert run.process.wait(timeout=500) == 1
    line = run.text().splitlines()[-1]
    assert line.startswith("error: Prefect's own server ended at its start (")
    assert line.endswith(f"; see {project / LOG}")
    assert servers(project) == []


def test_the_server_ends_with_a_run_that_was_killed(start: Start, project: Path) -> None:
    run = start()
    run.wait_until(lambda: servers(project))
    (server,) = servers(project)
    run.process.send_signal(signal.SIGKILL)
    server.wait(timeout=120)
