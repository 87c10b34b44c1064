"""Services that tests start as processes of their own. Each has a log, and no log may hold an error.

A server answers even while its background work fails: only its log shows that. So the fixture `services`
reads the logs of all that a test started, and fails the test on an error in one of them.
"""

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

TROUBLE = re.compile(r"\b(ERROR|CRITICAL|FATAL|PANIC)\b|^Traceback \(most recent|^fatal: ", re.MULTILINE)
_RECORD = re.compile(r"^(?=\d\d:\d\d:\d\d\.\d+ \|)", re.MULTILINE)
_STOP_SECONDS = 30.0


def errors_in(
    text: str, trouble: re.Pattern[str] = TROUBLE, tolerated: re.Pattern[str] | None = None
) -> list[str]:
    """Return the records of a log that report an error, without those in which `tolerated` is found.

    A record is a line with a time and the lines below it; a log without times is a single record.
    """
    records = _RECORD.split(text)
    return [each for each in records if trouble.search(each) and not (tolerated and tolerated.search(each))]


@dataclass
class Service:
    """A running process, its log, and how far the log has been read."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    trouble: re.Pattern[str]
    tolerated: re.Pattern[str] | None
    ends_at: signal.Signals
    _read: int = field(default=0)

    def text(self) -> str:
        """Return all that it has logged."""
        return self.log.read_text("utf-8", errors="replace")

    def require_no_errors(self) -> None:
        """Fail on an error that was logged since this was last asked."""
        errors = self._errors()
        if errors and self.process.poll() is None:
            time.sleep(1)  # the end of a traceback, which says what it was, may not be written yet
            errors = self._errors()
        self._read = self.log.stat().st_size
        assert not errors, f"the log of {self.name} has errors:\n" + "\n---\n".join(errors[:5])

    def _errors(self) -> list[str]:
        with self.log.open("rb") as file:
            file.seek(self._read)
            new = file.read().decode("utf-8", errors="replace")
        return errors_in(new, self.trouble, self.tolerated)

    def wait_until(self, ready: Callable[[], object], seconds: float = 400) -> None:
        """Wait until `ready` is true; fail with the log if the process ends first, or after `seconds`."""
        deadline = time.monotonic() + seconds
        while not ready():
            assert self.process.poll() is None, f"{self.name} ended:\n{self.text()[-3000:]}"
            assert time.monotonic() < deadline, f"{self.name}: waited in vain:\n{self.text()[-3000:]}"
            time.sleep(0.2)

    def stop(self) -> None:
        """End the process by its id, and what is left of its group."""
        with suppress(ProcessLookupError):
            self.process.send_signal(self.ends_at)
        try:
            self.process.wait(timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class Services:
    """Starts services and, at the end, stops them in reverse order and reads their logs."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._started: list[Service] = []

    def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        cwd: Path | str,
        env: Mapping[str, str] | None = None,
        trouble: re.Pattern[str] = TROUBLE,
        tolerated: re.Pattern[str] | None = None,
        ends_at: signal.Signals = signal.SIGTERM,
    ) -> Service:
        """Start `command` as the head of its own process group, with its output in a log.

        A record of the log that `trouble` finds is an error, unless `tolerated` finds it too; the signal
        `ends_at` asks the process to end.
        """
        log = self._logs / f"{len(self._started)}-{name}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                command, cwd=cwd, env=env, stdout=file, stderr=file, start_new_session=True
            )
        service = Service(name, process, log, trouble, tolerated, ends_at)
        self._started.append(service)
        return service

    def require_no_errors(self) -> None:
        """Fail on an error that any of them has logged since this was last asked."""
        for each in self._started:
            each.require_no_errors()

    def stop(self) -> None:
        """Stop all, the newest first."""
        for each in reversed(self._started):
            each.stop()


@pytest.fixture
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Services of one test."""
    yield from _services(tmp_path_factory)


@pytest.fixture(scope="session")
def shared_services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Services that several tests use; `clean_logs` reads their logs after each test."""
    yield from _services(tmp_path_factory)


@pytest.fixture
def clean_logs(shared_services: Services) -> Iterator[None]:
    """The test during which a shared service logs an error is the one that fails."""
    yield
    shared_services.require_no_errors()


def _services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    started = Services(tmp_path_factory.mktemp("logs"))
    try:
        yield started
    finally:
        started.stop()
    started.require_no_errors()


def free_port() -> int:
    """Return the number of a port on loopback that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    """Return whether something listens at `port` on loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
