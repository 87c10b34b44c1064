"""One process at a time at something, in a checkout."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def only_one(lock_file: Path, what: str, where: Path) -> Iterator[None]:
    """Be the only process that holds `lock_file`; it goes with the process, however that ends. May be nested.

    Raises:
        ValueError: another process does; the message has its id, and says that `what` is running in `where`.
    """
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    holder = lock_file.with_suffix(".pid")  # beside the lock, because trying to take a lock empties its file
    try:
        lock = FileLock(lock_file, blocking=False, is_singleton=True).acquire()
    except Timeout:
        pid = (holder.read_text("utf-8") if holder.exists() else "") or "unknown"
        raise ValueError(
            f"{what} (process {pid}) is running in {where}; wait for it, or stop it with: kill -INT {pid}"
        ) from None
    with lock:
        holder.write_text(str(os.getpid()), "utf-8")
        yield
