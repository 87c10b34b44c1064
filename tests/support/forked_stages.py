"""Stages and other commands, in forks of a process that has imported their libraries (`fork_server/`)."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.tiny import PROJECT, environment

FORK_SERVER = PROJECT / "tests/support/fork_server"
Environment = Callable[[Path], dict[str, str]]


@pytest.fixture(scope="session")
def forked_stages() -> Iterator[Environment]:
    """As `environment`, and what a test starts runs in a fork, where the system can (Linux).

    So does what that starts: modules of the project and of its tests, pytest, `dvc` and `bertline`.
    """
    if not hasattr(os, "pidfd_open"):
        yield environment
        return
    with TemporaryDirectory() as folder:  # a short name: that of a socket may have 100 characters
        address = str(Path(folder, "socket"))
        command = [sys.executable, FORK_SERVER / "server.py", address]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n"
            yield lambda project: environment(project, FORK_SERVER) | {"FORK_SERVER": address}
            server.communicate()
