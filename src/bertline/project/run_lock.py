"""One retraining, promotion or rollback at a time in a checkout."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from bertline.core.lock import only_one
from bertline.project.layout import SCRATCH


def only_run(
    root: Path, *, wait: float = 0.0, say: Callable[[str], object] = lambda line: None
) -> AbstractContextManager[bool]:
    """Be the only one at work in `root` within the block; ValueError if another is after `wait` seconds."""
    return only_one(root / SCRATCH / "run.lock", "another retraining or promotion", root, wait=wait, say=say)
