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


def check(root: Path, push: str = "", until: str = "") -> None:
    """Check the project in `root`, that it has the git remote to `push` to, and the stage `until`.

    Where these are empty, that is the remote of params.yaml, and no stage in particular.

    Raises:
        ValueError: something would make the run fail, or its result impossible to rebuild.
    """
    check_params(Path(os.path.relpath(root / PARAMS_FILE)))
    require_rebuildable(root, chosen_remote(root, push))
    if until:
        from bertline.project.dvc import require_stage

        require_stage(root, until)
    registry = Registry(root)
    if champion := registry.champion():
        registry.fetch(champion)  # for the comparison: an error now is better than after hours of training
