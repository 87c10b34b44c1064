"""Files that land in data/incoming/.

Guarantees that a file is there as a whole or not at all, and that one whose content did not change is not
touched. Nothing is ever deleted: a file that is gone at its source stays here.
"""

import filecmp
import shutil
from dataclasses import dataclass
from pathlib import Path

from bertline.core.files import replacing
from bertline.rows.incoming import INCOMING

FETCHED = Path(INCOMING, "fetched")
"""The folder of files that keep their own names."""


@dataclass(frozen=True, kw_only=True)
class Landed:
    """A file that was fetched."""

    path: Path
    amount: str  # e.g. "1,234 rows"
    changed: bool

    def __str__(self) -> str:
        return f"{self.path.as_posix()}: {self.amount}{'' if self.changed else ', unchanged'}"


def land(made: Path, path: Path, amount: str) -> Landed:
    """Move the finished file `made` to `path`, unless that holds the same bytes."""
    changed = not path.is_file() or not filecmp.cmp(made, path, shallow=False)
    if changed:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as new:
            shutil.move(made, new)  # the folder may lie on another disk than `made`
    return Landed(path=path, amount=amount, changed=changed)
