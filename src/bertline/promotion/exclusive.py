"""One retraining, promotion or rollback at a time in a checkout."""

from contextlib import AbstractContextManager
from pathlib import Path

from bertline.exclusive import only_one


def only_run(root: Path) -> AbstractContextManager[None]:
    """Be the only one at work in `root` within the block; ValueError if another one is."""
    return only_one(root / ".bertline" / "run.lock", "another retraining or promotion", root)
