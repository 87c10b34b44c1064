"""What must hold before a retraining may start: each check is one ValueError with the next command.

They are quick, and made before any work. They guarantee nothing about the data: `validate` does that.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from bertline.params.checking import check_params
from bertline.params.loading import PARAMS_FILE
from bertline.promotion.rebuildable import require_rebuildable

_LOCK = Path(".bertline", "run.lock")


def check(root: Path) -> None:
    """Check the project in `root`.

    Raises:
        ValueError: something would make the run fail, or its result impossible to rebuild.
    """
    check_params(Path(os.path.relpath(root / PARAMS_FILE)))
    require_rebuildable(root)


@contextmanager
def only_run(root: Path) -> Iterator[None]:
    """Be the only retraining in `root`; the lock goes with the process, however that ends. May be nested.

    Raises:
        ValueError: another retraining is running; the message has its process id.
    """
    path = root / _LOCK
    path.parent.mkdir(exist_ok=True)
    holder = path.with_suffix(".pid")  # beside the lock, because trying to take a lock empties its file
    try:
        with FileLock(path, blocking=False, is_singleton=True):
            holder.write_text(str(os.getpid()), "utf-8")
            yield
    except Timeout:
        pid = holder.read_text("utf-8") if holder.exists() else "unknown"
        raise ValueError(
            f"another retraining (process {pid}) is running in {root}; "
            f"wait for it, or stop it with: kill -INT {pid}"
        ) from None
