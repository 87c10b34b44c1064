"""The Prefect server that a command talks to, and errors of the two as one line."""

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import PrefectException
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    PREFECT_SERVER_API_AUTH_STRING,
    temporary_settings,
)

from bertline.project.supervisor import find_running
from flows import environment


@dataclass
class Outcome:
    """The exit status of a command, known after its block."""

    status: int = 0


@contextmanager
def one_error() -> Iterator[Outcome]:
    """Turn what stops the block into one `error:` line and an exit status."""
    outcome = Outcome()
    try:
        yield outcome
    except (ValueError, OSError, httpx.HTTPError, PrefectException) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        outcome.status = 1
    except KeyboardInterrupt:
        print("error: interrupted; run the same command again", file=sys.stderr)
        outcome.status = 130


def find_server(root: Path) -> str | None:
    """Return the URL of PREFECT_API_URL, else of the server that `make up` runs for `root`, else None."""
    if url := PREFECT_API_URL.value():
        return str(url)
    running = find_running(root)
    return running.addresses["PREFECT_API_URL"] if running and running.alive else None


def talking_to(url: str) -> AbstractContextManager[object]:
    """Return a block within which Prefect's clients talk to the server at `url`."""
    # Prefect reads all its settings again for a change of one: some 50 ms.
    return nullcontext() if url == PREFECT_API_URL.value() else temporary_settings({PREFECT_API_URL: url})


def require_answer(url: str) -> None:
    """Raise a ValueError if no server answers at `url`, or if it wants another password than ours."""
    with talking_to(url), environment.made(lambda: get_client(sync_client=True)) as client:
        error = client.api_healthcheck()  # which it answers without a password
        if not error:
            _require_access(client, url)
    if error:
        unset = "unset PREFECT_API_URL"
        if "PREFECT_API_URL" not in os.environ:  # it stands in a profile or in prefect.toml
            unset = f"prefect config {unset}"
        raise ValueError(
            f"no Prefect server answers at PREFECT_API_URL={url} ({' '.join(str(error).split())}); "
            f"start one with: make up, or do without: {unset}"
        )


def _require_access(client: SyncPrefectClient, url: str) -> None:
    try:
        client.api_version()
    except httpx.HTTPStatusError as refusal:
        if refusal.response.status_code != httpx.codes.UNAUTHORIZED:
            raise
        raise ValueError(
            f"the Prefect server at {url} wants another password: set PREFECT_API_AUTH_STRING to what it has "
            "as PREFECT_SERVER_API_AUTH_STRING"
        ) from None


def require_password(host: str) -> None:
    """Raise a ValueError if a server that we start at `host` would be open to all, or closed to us."""
    theirs, ours = PREFECT_SERVER_API_AUTH_STRING.value(), PREFECT_API_AUTH_STRING.value()
    both = "set PREFECT_SERVER_API_AUTH_STRING and PREFECT_API_AUTH_STRING to the same USER:PASSWORD"
    if not theirs and host not in environment.LOOPBACK:
        raise ValueError(
            f"at {host}, the server would answer other machines without a password: {both}, "
            "or let it listen at PREFECT_SERVER_API_HOST=127.0.0.1"
        )
    if theirs and theirs != ours:
        raise ValueError(f"the server would not take our password: {both}")


@contextmanager
def server(root: Path) -> Iterator[str]:
    """Talk to the server that `find_server` finds within the block; ValueError if there is none."""
    url = find_server(root)
    if url is None:
        raise ValueError("no Prefect server is known; start one: make up, or set PREFECT_API_URL to yours")
    require_answer(url)
    with talking_to(url):
        yield url
