"""A real Prefect server with a database of its own, as `make up` starts one, but for the port."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from flows.up import SERVER
from tests.support.services import Service, Services, free_port
from tests.support.shared_folder import shared_folder
from tests.support.toy_project import REPOSITORY

_BUSY = re.compile("database is locked")
"""SQLite refuses at once to turn a read into a write while another writes. On a slow machine this meets the
heartbeat of Prefect's worker, which then connects again; its runs are made all the same."""


AUTH = ("owner", "hunter2/s3kr:t")
"""User and password of a server that has `PASSWORD`."""

PASSWORD = ":".join(AUTH)


def prepared_home(factory: pytest.TempPathFactory) -> Path:
    """Return a folder for PREFECT_HOME, with the database as Prefect's first start makes it.

    To make it takes 7 seconds of a core, and a server with its database is there in 5.
    """

    def make(home: Path) -> None:
        command = [*SERVER[:3], "server", "database", "upgrade", "--yes"]
        subprocess.run(command, env=_environment(home), check=True, capture_output=True)

    shared = shared_folder(factory, "prefect-home", make)
    return shutil.copytree(shared, factory.mktemp("prefect"), dirs_exist_ok=True)


def start_server(
    services: Services, home: Path, *, port: int | None = None, **settings: str
) -> tuple[Service, dict[str, str]]:
    """Start a server, wait until it answers, and return it with the environment for its clients."""
    port = port or free_port()
    env = _environment(home)
    server = services.start(
        "server",
        SERVER,
        cwd=REPOSITORY,
        env=env | settings | {"PREFECT_SERVER_API_PORT": str(port)},
        tolerated=_BUSY,
    )
    url = f"http://127.0.0.1:{port}/api"
    server.wait_until(lambda: is_healthy(url))
    return server, env | {"PREFECT_API_URL": url}


def is_healthy(url: str) -> bool:
    """Return whether a server answers at `url`."""
    try:
        return httpx.get(f"{url}/health", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def _environment(home: Path) -> dict[str, str]:
    theirs = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return theirs | {"PREFECT_HOME": str(home)}
