"""Checks before a retraining starts: each is one ValueError with the next command.

They are quick, unless the champion's model must be fetched first. They do not look at the data; `validate`
does.
"""

import os
from pathlib import Path

from bertline.core.params_loading import PARAMS_FILE
from bertline.params.checking import check_params
from bertline.registry.conditions import require_rebuildable
from bertline.registry.git_remote import chosen_remote
from bertline.registry.registry import Registry


def check(root: Path, push: str = "") -> None:
    """Check the project in `root`, and that it has the git remote to `push` to, or that of params.yaml.

    Raises:
        ValueError: something would make the run fail, or its result impossible to rebuild.
    """
    check_params(Path(os.path.relpath(root / PARAMS_FILE)))
    require_rebuildable(root, chosen_remote(root, push))
    registry = Registry(root)
    if champion := registry.champion():
        registry.fetch(champion)  # for the comparison: an error now is better than after hours of training
