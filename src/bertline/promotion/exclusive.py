"""One retraining, promotion or rollback at a time in a checkout."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

_LOCK = Path(".bertline", "run.lock")


@contextmanager
def only_run(root: Path) -> Iterator[None]:
    """Be the only one at work in `root`; the lock goes with the process, however that ends. May be nested.

    Raises:
        ValueError: another retraining or promotion is running; the message has its process id.
    """
    path = root / _LOCK
    path.parent.mkdir(exist_ok=True)
    holder = path.with_suffix(".pid")  # beside the lock, because trying to take a lock empties its file
    try:
        lock = FileLock(path, blocking=False, is_singleton=True).acquire()
    except Timeout:
        pid = (holder.read_text("utf-8") if holder.exists() else "") or "unknown"
        raise ValueError(
            f"another retraining or promotion (process {pid}) is running in {root}; "
            f"wait for it, or stop it with: kill -INT {pid}"
        ) from None
    with lock:
        holder.write_text(str(os.getpid()), "utf-8")
        yield
