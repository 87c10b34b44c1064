"""What must hold before a retraining may start: each check is one ValueError with the next command.

They are made before any work, and quick but for a champion that is not here yet. They guarantee nothing about
the data: `validate` does that.
"""

import os
from pathlib import Path

from bertline.params.checking import check_params
from bertline.params.loading import PARAMS_FILE
from bertline.promotion.rebuildable import require_rebuildable
from bertline.promotion.registry import Registry


def check(root: Path) -> None:
    """Check the project in `root`.

    Raises:
        ValueError: something would make the run fail, or its result impossible to rebuild.
    """
    check_params(Path(os.path.relpath(root / PARAMS_FILE)))
    require_rebuildable(root)
    registry = Registry(root)
    if champion := registry.champion():
        registry.fetch(champion)  # to compare with: better missed now than after hours of training
