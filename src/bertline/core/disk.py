"""Room on the disk, asked before hours of work that would end without it."""

import shutil
from collections.abc import Mapping
from pathlib import Path

_MEGA = 1_000_000


def require_space(needs: Mapping[Path, int], why: str) -> None:
    """Raise an OSError in one line if a folder lies on a disk with less room than it needs, in bytes.

    A folder that is not there yet counts as the nearest one above it. `why` says what needs the room.
    """
    for folder, need in needs.items():
        place = next(each for each in (folder, *folder.absolute().parents) if each.exists())
        free = shutil.disk_usage(place).free
        if free < need:
            raise OSError(
                f"the disk of {folder} is too full: {why} needs {need / _MEGA:,.1f} MB there, and "
                f"{free / _MEGA:,.1f} MB are free; make room, then run the same command again"
            )
