"""Waiting for what another thread or process does."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from tests.support.tiny import is_running


def wait_until(true: Callable[[], object], seconds: float = 120) -> None:
    """Wait until `true()` is true; fail if it is not in time."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def send_until(send: Callable[[], object], true: Callable[[], object], again: float = 30) -> None:
    """Send an event, and send it `again` after so many seconds until `true()` is true; fail after four times.

    Prefect answers before it has loaded a new automation: an event that comes at once may start nothing.
    """
    for _ in range(4):
        send()
        with suppress(AssertionError):
            return wait_until(true, again)
    pytest.fail("sent in vain")


def wait_until_ended(pid: int) -> None:
    """Wait until no process has the id `pid`."""
    wait_until(lambda: not is_running(pid), 20)


def when_logged(caplog: pytest.LogCaptureFixture, words: str, act: Callable[[], object]) -> None:
    """Call `act` in another thread as soon as `words` are in the log, and at the latest after two minutes."""

    def wait() -> None:
        try:
            wait_until(lambda: words in caplog.text)
        finally:
            act()

    threading.Thread(target=wait).start()
