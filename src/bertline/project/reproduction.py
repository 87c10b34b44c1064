"""Stages brought up to date as by `dvc repro`, in a child process that tells what becomes of each.

The child is `bertline.project.reproduce`. This module does not import DVC, and neither does who uses it.
"""

import json
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from bertline.project.processes import child_process, end_group, output_lines
from bertline.project.recovery import mark

CACHED, RESTORED, COMPLETED = "Cached", "Restored", "Completed"
_LAST_LINES = 5  # of the output of a stage that crashed
_ready: dict[Path, tuple[subprocess.Popen[bytes], str]] = {}


class StageError(ValueError):
    """A stage failed, or DVC cannot run it; the message is that of the stage, or DVC's.

    `stage` is the name of the stage if the message is its own.
    """

    def __init__(self, message: str, stage: str | None = None) -> None:
        super().__init__(message)
        self.stage = stage


@dataclass(frozen=True)
class Began:
    """DVC looks at a stage; those that it depends on have ended."""

    stage: str
    upstream: Sequence[str]


@dataclass(frozen=True)
class Told:
    """A line about the stage that is not its own."""

    line: str
    warning: bool = False


@dataclass(frozen=True)
class Ended:
    """A stage is up to date: it was before, DVC's run cache had it, or it ran."""

    stage: str
    how: str


@dataclass(frozen=True)
class Failed:
    """A stage has failed, or DVC has.

    `stage` is the name of the stage if the message is its own; without a message it has crashed.
    """

    stage: str | None
    message: str | None


Event = Began | Told | Ended | Failed
_EVENTS = {each.__name__: each for each in (Began, Told, Ended, Failed)}


@dataclass(frozen=True)
class Request:
    """The stages that the child brings up to date, and how."""

    stages: Sequence[str] = ()  # as DVC addresses them; none: all of the map
    single_item: bool = False  # leave those before them as they are
    force: bool = False  # run them even if they are up to date, or in DVC's run cache
    push: bool = False  # push each to DVC's default remote when it has ended
    wait: float | None = None  # seconds to wait for another DVC that is at work; None: DVC's own way
    environment: Mapping[str, str] | None = None  # for the stages, beside ours


class Reproduction:
    """A child process that brings stages up to date, as `events` tells."""

    def __init__(self, process: subprocess.Popen[bytes], marker: str) -> None:
        self.process = process
        self.ended: dict[str, str] = {}  # name of a stage: how it ended
        self._marker = marker
        self._running: str | None = None
        self._failed = Failed(None, None)

    def events(self) -> Iterator[str | Began | Told | Ended]:
        """Yield what happens, and the lines that the stages print, as they come; ends with the child."""
        for line in output_lines(self.process):
            if not line.startswith(self._marker):
                yield line
                continue
            event = _read(line.removeprefix(self._marker))
            if isinstance(event, Failed):
                self._failed = event
                continue
            if isinstance(event, Began):
                self._running = event.stage
            elif isinstance(event, Ended):
                self._running = None
                self.ended[event.stage] = event.how
            yield event
        self.process.wait()

    @contextmanager
    def time_limit(self, seconds: float | None) -> Iterator[threading.Event]:
        """End the child if the block takes longer than `seconds`; yield what is set then."""
        over = threading.Event()

        def end() -> None:
            over.set()
            end_group(self.process.pid, self.process)

        timer = threading.Timer(seconds or 0, end)
        if seconds is not None:
            timer.start()
        try:
            yield over
        finally:
            timer.cancel()

    def error(self, printed: Sequence[str]) -> StageError:
        """Return the error of a child that has failed; `printed` has the last lines that stages printed."""
        stage, message = self._failed.stage, self._failed.message
        last = "\n".join(printed[-_LAST_LINES:])
        if message is None and self._running:
            how, status = "crashed", self.process.returncode
            if status < 0:
                how = f"ended, because DVC was ended by {signal.Signals(-status).name}, from outside"
            return StageError(f"{self._running} {how}; its last lines:\n{last}")
        message = message or last
        return StageError(f"{stage}: {message}" if stage else message, stage)


@contextmanager
def prepared(root: Path) -> Iterator[None]:
    """Have the child of the next `reproducing` in `root` import DVC while the block does something else."""
    if root in _ready:
        yield
        return
    with _started(root) as child:
        _ready[root] = child
        try:
            yield
        finally:
            if _ready.pop(root, None):
                end_group(child[0].pid, child[0])


@contextmanager
def reproducing(root: Path, request: Request) -> Iterator[Reproduction]:
    """Bring stages of the project in `root` up to date, in a child that ends with the block."""
    if root not in _ready:
        with prepared(root), reproducing(root, request) as run:
            yield run
        return
    process, marker = _ready.pop(root)
    try:
        assert process.stdin is not None
        with suppress(BrokenPipeError), process.stdin as order:  # it was killed: its end is its answer
            order.write(json.dumps(asdict(request)).encode() + b"\n")
        yield Reproduction(process, marker)
        process.wait()
    except BaseException:
        end_group(process.pid, process)
        raise


@contextmanager
def _started(root: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    marker = f"\x1e{secrets.token_hex(8)}"  # a stage cannot know it
    command = [sys.executable, "-m", "bertline.project.reproduce", marker]
    with child_process(command, root, source=subprocess.PIPE, environment=mark(root)) as process:
        yield process, marker


def tell(marker: str, event: Event) -> None:
    """Print `event`, in the child, between the lines of the stages."""
    text = json.dumps({"event": type(event).__name__, **asdict(event)})
    sys.stdout.write(f"\n{marker}{text}\n")
    sys.stdout.flush()


def _read(text: str) -> Event:
    values = json.loads(text)
    event: Event = _EVENTS[values.pop("event")](**values)
    return event
