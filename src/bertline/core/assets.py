"""Folders of the packages in assets.lock: sample data and weights, read as files and never imported.

`make setup` puts them into the folder `assets` of the virtual environment, outside its libraries: their own
dependencies are not installed, so `pip check` would complain about them there.
"""

import sys
from pathlib import Path


def find_asset(package: str, wanted_by: str) -> Path:
    """Return the folder of `package` in this Python's environment, from any checkout.

    Raises:
        ValueError: it is not there; the message names `wanted_by`, the setting that asks for it.
    """
    folder = Path(sys.prefix, "assets", package)
    if not folder.is_dir():
        raise ValueError(
            f"{wanted_by} needs the package {package}, which is not in {folder.parent}; run: make setup"
        )
    return folder
