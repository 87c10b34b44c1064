"""DVC's list of who reads and writes which output: what died processes left in it, and who is at work.

`.dvc/tmp/rwlock` names processes by their id. DVC drops entries of ids that are free. It takes an id that
another program has now for a live one, for ever, and cannot read a file that a killed DVC wrote half.

Guarantees that an entry is removed only if its process cannot be the one that wrote it, and that the file
is changed under DVC's own guard. DVC's lock of the whole project (`.dvc/tmp/lock`) goes with its process.
"""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import psutil
from dvc.lock import Lock, LockError
from dvc.rwlock import RWLOCK_FILE, RWLOCK_LOCK, SCHEMA
from voluptuous import Invalid

_TMP = Path(".dvc", "tmp")
_CLOCK_SECONDS = 2.0  # start times of processes are reckoned from the machine's, which may be adjusted
_POLL_SECONDS = 1.0


def mend_rwlock(root: Path) -> list[str]:
    """Remove from DVC's list in `root` what no live process can have written; return a line on each change.

    Raises:
        ValueError: another process has held the guard of the list for seconds.
    """
    path = root / _TMP / RWLOCK_FILE
    if not path.exists():
        return []
    with _held(root / _TMP / RWLOCK_LOCK):
        try:
            entries = SCHEMA(json.loads(path.read_bytes()))
        except (ValueError, Invalid):
            path.unlink()
            return [f"removed {path.relative_to(root)}, which a killed DVC left half-written"]
        written = path.stat().st_mtime
        gone: dict[int, str] = {}

        def stays(entry: Mapping[str, Any]) -> bool:
            if _may_be_owner(entry, written):
                return True
            gone[entry["pid"]] = entry["cmd"]
            return False

        write = {name: entry for name, entry in entries["write"].items() if stays(entry)}
        read = {name: kept for name, each in entries["read"].items() if (kept := [*filter(stays, each)])}
        if gone:
            path.write_text(json.dumps({"write": write, "read": read}), "utf-8")
    return [f"removed DVC's lock of process {pid}, which is gone ({cmd})" for pid, cmd in gone.items()]


def _may_be_owner(entry: Mapping[str, Any], written: float) -> bool:
    """Return whether a live process can be the one that wrote `entry`; the list was last `written` then."""
    if entry["pid"] == os.getpid():
        return False  # this process has none of its own
    try:
        process = psutil.Process(entry["pid"])
        if process.status() == psutil.STATUS_ZOMBIE or process.create_time() > written + _CLOCK_SECONDS:
            return False
        _, _, arguments = entry["cmd"].partition(" ")  # DVC writes the path of its program, then these
        return " ".join(process.cmdline()).endswith(arguments)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:  # another user's
        return True


def wait_for_dvc(root: Path, *, wait: float = 0.0, say: Callable[[str], object] = lambda line: None) -> bool:
    """Return when no other DVC is at work in `root`, e.g. a `dvc repro` by hand; tell whether one was.

    Waits for at most `wait` seconds, and says so once.

    Raises:
        ValueError: one still is.
    """
    deadline = time.monotonic() + wait
    waiting = False
    while other := _at_work(root):
        if time.monotonic() >= deadline:
            raise ValueError(f"{other} is at work in {root}; wait for it, or stop it")
        if not waiting:
            say(f"{other} is at work in {root}; waiting for it, for {wait:g} seconds at most")
            waiting = True
        time.sleep(_POLL_SECONDS)
    return waiting


def _at_work(root: Path) -> str | None:
    """Return a DVC that runs a stage in `root`, or holds the lock of the project for seconds."""
    lock = root / _TMP / "lock"
    try:
        with _held(lock):
            mend_rwlock(root)
            path = root / _TMP / RWLOCK_FILE
            entries = json.loads(path.read_bytes()) if path.exists() else {}
    except ValueError:
        return f"DVC (process {lock.read_text('utf-8', errors='replace').strip() or 'unknown'})"
    for each in chain(entries.get("write", {}).values(), *entries.get("read", {}).values()):
        return f"DVC (process {each['pid']}: {each['cmd']})"
    return None


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """Hold a lock of DVC's; ValueError if another process keeps it for three seconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = Lock(str(path))
    try:
        lock.lock()
    except LockError as error:
        raise ValueError(f"another DVC holds {path}") from error
    try:
        yield
    finally:
        lock.unlock()
