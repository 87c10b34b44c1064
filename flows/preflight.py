"""What must hold before a retraining may start: each check is one ValueError with the next command.

They are quick, and made before any work. They guarantee nothing about the data: `validate` does that.
"""

import os
from pathlib import Path

from bertline.params.checking import check_params
from bertline.params.loading import PARAMS_FILE
from bertline.promotion.rebuildable import require_rebuildable


def check(root: Path) -> None:
    """Check the project in `root`.

    Raises:
        ValueError: something would make the run fail, or its result impossible to rebuild.
    """
    check_params(Path(os.path.relpath(root / PARAMS_FILE)))
    require_rebuildable(root)
