"""Run a program as a child process that ends when the block it belongs to ends.

Guarantees:

- An exception in the block (an error, Ctrl-C) or a time limit ends the child and all that it has started.
- The end of the child, also by `kill -9`, ends what it has started.
- The child has a session of its own: Ctrl-C in the terminal does not reach it, and no password is asked for.
- The commands of this virtual environment come first on its PATH.

Does not end the child when this process itself is killed with `kill -9`; `bertline.project.recovery` does so
later.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any

import psutil

GRACE_SECONDS = 10.0  # between two signals to a process group, the second one harsher
_POLL_SECONDS = 0.05
_CLOCK_SECONDS = 2.0  # start times of processes are reckoned from the machine's, which may be adjusted


@contextmanager
def child_process(
    command: Sequence[str],
    folder: Path,
    *,
    source: int = subprocess.DEVNULL,
    output: int | IO[bytes] = subprocess.PIPE,
    errors: int = subprocess.STDOUT,
    environment: Mapping[str, str] | None = None,
    seconds: float | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Start `command` in `folder`; wait for its end at the end of the block.

    Args:
        command: a program and its arguments.
        folder: the current folder of the child.
        source: where its standard input comes from: nowhere, or a pipe.
        output: where its standard output goes: a pipe, a file or `subprocess.DEVNULL`.
        errors: where its standard error goes: to the output, or `subprocess.DEVNULL`.
        environment: variables that it gets beside ours.
        seconds: its time limit.

    Raises:
        subprocess.TimeoutExpired: at the end of the block; the child was ended after `seconds`.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    own = {"PATH": path, "PYTHONUNBUFFERED": "1", "DVC_NO_ANALYTICS": "1"}
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, **own, **(environment or {})},
        stdin=source,
        stdout=output,
        stderr=errors,
        start_new_session=True,
    )
    over, expired = threading.Event(), threading.Event()
    watchdog = threading.Thread(target=_watch, args=(process, seconds, over, expired), daemon=True)
    watchdog.start()
    try:
        yield process
        process.wait()
    except BaseException:
        end_group(process.pid, process)
        raise
    finally:
        over.set()
        watchdog.join()
        if process.stdout is not None:
            process.stdout.close()
    if expired.is_set():
        assert seconds is not None
        raise subprocess.TimeoutExpired(command, seconds)


def _watch(
    process: subprocess.Popen[bytes], seconds: float | None, over: threading.Event, expired: threading.Event
) -> None:
    """End the group of `process` with its leader, or after `seconds`: whoever reads its output sees its end.

    What the leader has started holds the other end of that pipe, too.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    while process.poll() is None and not over.wait(_POLL_SECONDS):
        if deadline is not None and time.monotonic() > deadline:
            expired.set()
            break
    end_group(process.pid, process)


def run_process(
    command: Sequence[str], folder: Path, *, seconds: float, errors: int = subprocess.STDOUT
) -> str | None:
    """Run `command` in `folder` and return its output; None if it failed or took longer than `seconds`."""
    with suppress(subprocess.TimeoutExpired):
        with child_process(command, folder, errors=errors, seconds=seconds) as process:
            printed, _ = process.communicate()
        return printed.decode("utf-8", errors="replace") if process.returncode == 0 else None
    return None


def output_lines(process: subprocess.Popen[bytes]) -> Iterator[str]:
    """Yield the lines that `process` prints to its pipe, as they come; a progress bar is its last state."""
    assert process.stdout is not None
    with TextIOWrapper(process.stdout, encoding="utf-8", errors="replace", newline="\n") as stream:
        lines = (line.rstrip("\r\n").rpartition("\r")[2] for line in stream)
        yield from filter(str.strip, lines)


def end_group(
    leader: int, process: subprocess.Popen[bytes] | None = None, *, grace: float | None = None
) -> None:
    """End the process group that the process with the id `leader` heads.

    SIGINT comes first, because DVC keeps its locks at a SIGTERM; SIGKILL comes last. `grace` seconds pass
    between two signals (`GRACE_SECONDS` by default). `process` is the leader itself where it is our child: an
    ended child counts as a member of the group until it is waited for.
    """
    if grace is None:
        grace = GRACE_SECONDS
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            os.killpg(leader, number)
            deadline = time.monotonic() + grace
            while time.monotonic() < deadline:
                if process is not None:
                    process.poll()
                os.killpg(leader, 0)  # raises once the group is empty
                time.sleep(_POLL_SECONDS)
    except ProcessLookupError:
        pass
    finally:
        with suppress(ProcessLookupError):
            os.killpg(leader, signal.SIGKILL)
        if process is not None:
            process.wait()


def identity(pid: int) -> dict[str, float] | None:
    """Return what tells the process from a later one with the same id; None if there is no such process."""
    try:
        return {"pid": pid, "created": psutil.Process(pid).create_time()}
    except psutil.NoSuchProcess:
        return None


def is_alive(identity: Mapping[str, Any]) -> bool:
    """Return whether the process still runs, and is not another one with its id."""
    try:
        process = psutil.Process(int(identity["pid"]))
        if abs(process.create_time() - identity["created"]) > _CLOCK_SECONDS:
            return False
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
