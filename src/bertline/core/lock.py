"""One process at a time at something, in a checkout."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def only_one(
    lock_file: Path,
    what: str,
    where: Path,
    *,
    wait: float = 0.0,
    say: Callable[[str], object] = lambda line: None,
) -> Iterator[bool]:
    """Be the only process that holds `lock_file`; it goes with the process, however that ends.

    May be nested: yields whether this block is the outermost one.

    While another process holds it, this one waits for at most `wait` seconds, and says so once.

    Raises:
        ValueError: another process does; the message has its id, and says that `what` is running in `where`.
    """
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    holder = lock_file.with_suffix(".pid")  # beside the lock, because trying to take a lock empties its file
    lock = FileLock(lock_file, is_singleton=True)
    outermost = not lock.is_locked
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if wait > 0:
            say(f"{_running(what, holder, where)}; waiting for it, for {wait:g} seconds at most")
        try:
            lock.acquire(timeout=wait, poll_interval=0.5)
        except Timeout:
            running, pid = _running(what, holder, where), _pid(holder)
            raise ValueError(f"{running}; wait for it, or stop it with: kill {pid}") from None
    try:
        holder.write_text(str(os.getpid()), "utf-8")
        yield outermost
    finally:
        lock.release()


def _running(what: str, holder: Path, where: Path) -> str:
    return f"{what} (process {_pid(holder)}) is running in {where}"


def _pid(holder: Path) -> str:
    return (holder.read_text("utf-8") if holder.exists() else "") or "unknown"
