"""Keep services running: start them, start again what ends, stop them in reverse order.

Guarantees:

- A service that ends is started again after 1, 2, 4 ... 60 seconds; one that lived for a minute begins at 1.
- Each has a log in the folder of the supervisor, of at most `LOG_BYTES` and one older part.
- A service that is started again leaves what its predecessor has started alone: a run outlives its worker.
- Stopping ends all that the services have started, and what a supervisor that was killed has left: each such
  process has the variable `MARK` in its environment.

Does not notice a service that hangs.
"""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from bertline.core.files import write_json
from bertline.project.layout import SCRATCH
from bertline.project.processes import end_group, identity, is_alive

FOLDER = SCRATCH / "up"
SUPERVISOR_LOG = FOLDER / "supervisor.log"
LOG_BYTES = 5_000_000
MARK = "BERTLINE_UP"  # its value is the folder of the project
_STATE = FOLDER / "state.json"
_POLL_SECONDS = 0.2
_LONGEST_PAUSE = 60.0
_SOUND_SECONDS = 60.0


@dataclass(kw_only=True)
class Service:
    """A process to keep running; it gets `environment` beside our variables."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    grace: float = 10.0  # seconds to end after SIGINT
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    pause: float = 1.0  # before it is started again
    due: float | None = None  # when it is


class Supervisor:
    """Runs services in the project `root`, and writes down what runs."""

    def __init__(self, root: Path, addresses: Mapping[str, str], say: Callable[[str], None]) -> None:
        self._root, self._addresses, self._say = root, addresses, say
        self._services: list[Service] = []
        self._ready = False
        (root / FOLDER).mkdir(parents=True, exist_ok=True)
        self._write_state()

    def start(self, service: Service) -> None:
        """Start a service with a new log, and keep it running from now on."""
        log = self._log(service)
        if log.exists():
            log.replace(log.with_suffix(".log.1"))
        self._services.append(service)
        self._start(service)

    def is_ready(self) -> None:
        """Write down that all services have been started."""
        self._ready = True
        self._write_state()

    def run_until(self, done: Callable[[], bool]) -> None:
        """Keep the services running until `done` is true."""
        while not done():
            for service in self._services:
                self._look_after(service)
            time.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """Stop the services, the newest first, and forget them."""
        while self._services:
            service = self._services.pop()
            if service.process is not None:
                self._say(f"stopping {service.name}")
                end_group(service.process.pid, service.process, grace=service.grace)
        _end_leftovers(self._root)
        (self._root / _STATE).unlink(missing_ok=True)

    def _look_after(self, service: Service) -> None:
        now = time.monotonic()
        if service.due is not None:
            if now >= service.due:
                self._start(service)
            return
        assert service.process is not None
        if service.process.poll() is not None:
            if now - service.started > _SOUND_SECONDS:
                service.pause = 1.0
            status = service.process.returncode
            self._say(f"{service.name} ended with status {status}; it starts again in {service.pause:.0f} s")
            service.due = now + service.pause
            service.pause = min(2 * service.pause, _LONGEST_PAUSE)
        elif self._log(service).stat().st_size > LOG_BYTES:
            self._cut_log(service)

    def _start(self, service: Service) -> None:
        with self._log(service).open("ab") as log:  # appending, so that it can be cut while it is written
            service.process = subprocess.Popen(
                service.command,
                cwd=self._root,
                env={**os.environ, "PYTHONUNBUFFERED": "1", MARK: str(self._root), **service.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        service.started, service.due = time.monotonic(), None
        self._write_state()

    def _log(self, service: Service) -> Path:
        return self._root / FOLDER / f"{service.name}.log"

    def _cut_log(self, service: Service) -> None:
        log = self._log(service)
        shutil.copyfile(log, log.with_suffix(".log.1"))
        os.truncate(log, 0)

    def _write_state(self) -> None:
        services = {each.name: identity(each.process.pid) for each in self._services if each.process}
        state = {
            "supervisor": identity(os.getpid()),
            "ready": self._ready,
            "addresses": dict(self._addresses),
            "services": {name: each for name, each in services.items() if each},
        }
        write_json(self._root / _STATE, state)


@dataclass(frozen=True, kw_only=True)
class Running:
    """What a supervisor has written down."""

    pid: int
    alive: bool  # the supervisor itself
    ready: bool
    addresses: Mapping[str, str]
    services: Mapping[str, int | None]  # name to process id; None if it does not run now


def find_running(root: Path) -> Running | None:
    """Return what the supervisor of `root` has written down; None if it was stopped, or never was."""
    try:
        state: dict[str, Any] = json.loads((root / _STATE).read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    services = {name: each["pid"] if is_alive(each) else None for name, each in state["services"].items()}
    return Running(
        pid=state["supervisor"]["pid"],
        alive=is_alive(state["supervisor"]),
        ready=state["ready"],
        addresses=state["addresses"],
        services=services,
    )


def stop_running(root: Path, *, seconds: float = 150.0) -> bool:
    """Stop the supervisor of `root` and what one that was killed has left; return whether there was any.

    Raises:
        ValueError: it has not ended after `seconds`.
    """
    running = find_running(root)
    if running is None:
        return False
    if running.alive:
        os.kill(running.pid, signal.SIGTERM)
        deadline = time.monotonic() + seconds
        while (now := find_running(root)) is not None and now.alive:
            if time.monotonic() > deadline:
                log = root / SUPERVISOR_LOG
                raise ValueError(f"process {running.pid} is still stopping what it started; see {log}")
            time.sleep(_POLL_SECONDS)
    _end_leftovers(root)
    (root / _STATE).unlink(missing_ok=True)
    return True


def _end_leftovers(root: Path) -> None:
    groups = set()
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # it has ended meanwhile, or is another user's
            if process.environ().get(MARK) == str(root):
                groups.add(os.getpgid(process.pid))
    for each in groups:
        end_group(each)
