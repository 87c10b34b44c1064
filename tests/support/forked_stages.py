"""Stages and other commands, in forks of a process that has imported their libraries (`fork_server/`).

All workers of a test run share that process. It imports when it is first asked for a fork.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.tiny import PROJECT, environment

FORK_SERVER = PROJECT / "tests/support/fork_server"
_ADDRESS = "TESTS_FORK_SERVER"
Environment = Callable[[Path], dict[str, str]]


def pytest_configure(config: pytest.Config) -> None:
    """Start the process before the workers, which inherit its address; it ends with this one."""
    if _ADDRESS in os.environ or not hasattr(os, "pidfd_open"):
        return
    folder = TemporaryDirectory()  # a short name: that of a socket may have 100 characters
    address = os.environ[_ADDRESS] = str(Path(folder.name, "socket"))
    command = [sys.executable, FORK_SERVER / "server.py", address]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
    config.add_cleanup(folder.cleanup)
    config.add_cleanup(server.communicate)


@pytest.fixture(scope="session")
def forked_stages() -> Environment:
    """As `environment`, and what a test starts runs in a fork, where the system can (Linux).

    So does what that starts: modules of the project and of its tests, pytest, `dvc` and `bertline`.
    """
    address = os.environ.get(_ADDRESS)
    if address is None:
        return environment
    return lambda project: environment(project, FORK_SERVER) | {"FORK_SERVER": address}
