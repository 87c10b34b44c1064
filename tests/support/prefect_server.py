"""A real Prefect server with a database of its own, as `make up` starts one, but for the port."""

import os
import re
from pathlib import Path

import httpx

from flows.up import SERVER
from tests.support.services import Service, Services, free_port
from tests.support.toy_project import REPOSITORY

_BUSY = re.compile("database is locked")
"""SQLite refuses at once to turn a read into a write while another writes. On a slow machine this meets the
heartbeat of Prefect's worker, which then connects again; its runs are made all the same."""


AUTH = ("owner", "hunter2/s3kr:t")
"""User and password of a server that has `PASSWORD`."""

PASSWORD = ":".join(AUTH)


def start_server(
    services: Services, home: Path, *, port: int | None = None, **settings: str
) -> tuple[Service, dict[str, str]]:
    """Start a server, wait until it answers, and return it with the environment for its clients."""
    port = port or free_port()
    env = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    env |= {"PREFECT_HOME": str(home)}
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
