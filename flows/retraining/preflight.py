"""Checks before a retraining starts: each is one ValueError with the next command.

They are quick, unless the champion's model must be fetched first. They do not look at the data; `validate`
does. So a label or a column that a file of the evaluation names may still be unknown to `evaluate`.
"""

import hashlib
import os
from pathlib import Path

from bertline.core.params_loading import PARAMS_FILE
from bertline.params.checking import check_params
from bertline.project.layout import BEHAVIOUR, PINNED_ROWS, SLICE_RULES
from bertline.project.lock_file import recorded_stages
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
    else:
        _check_evaluation(root)
    registry = Registry(root)
    if champion := registry.champion():
        registry.fetch(champion)  # for the comparison: an error now is better than after hours of training


def _check_evaluation(root: Path) -> None:
    """Raise a ValueError if a file that `evaluate` will read after the training is wrong.

    One that its last run has read is right; reading it again would take 0.3 s, most of it imports.
    """
    deps = recorded_stages(root).get("evaluate", {}).get("deps", ())
    read = {dep["path"]: dep["md5"] for dep in deps}
    for path in (SLICE_RULES, BEHAVIOUR, PINNED_ROWS):
        file = root / path
        if file.is_file() and _md5(file) != read.get(path.as_posix()):
            _read(path, Path(os.path.relpath(file)))


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def _read(path: Path, file: Path) -> None:
    from bertline.evaluation.behaviour_file import read_behaviour
    from bertline.evaluation.pins import read_pinned_rows
    from bertline.evaluation.slice_rules import read_rules

    if path == SLICE_RULES:
        read_rules(file)
    elif path == BEHAVIOUR:
        read_behaviour(file, None)
    else:
        read_pinned_rows(file)
