"""What git must know for a model to be rebuilt from its version, a year later.

A finished run is saved as a DVC experiment and promoted as a git tag: both name a commit.
"""

import os
import re
from pathlib import Path

from bertline.promotion.git import git, require_top
from bertline.promotion.tags import require_all_tags

# What a retraining and its user change from run to run; `save_experiment` keeps it.
_CHANGING = re.compile(r"params\.yaml|dvc\.lock|reports/.*|.*\.dvc|(.*/)?\.gitignore")
_CODE = ("src/", "flows/")


def require_rebuildable(root: Path) -> None:
    """Check that a run in `root` could be promoted, and rebuilt from its version.

    Raises:
        ValueError: git or DVC is not set up, code is not committed, or tags are missing; the message has the
            next command.
    """
    require_saveable(root)
    require_all_tags(root)


def require_saveable(root: Path) -> None:
    """Check that a run in `root` could be saved as an experiment, and rebuilt from what is saved.

    Raises:
        ValueError: git or DVC is not set up, or code is not committed; the message has the next command.
    """
    _check_repository(root)
    _check_identity(root)
    _check_clean(root)


def require_taggable(root: Path) -> None:
    """Check that a tag could be made in `root`, and pushed.

    Raises:
        ValueError: git or DVC is not set up, or tags are missing; the message has the next command.
    """
    _check_repository(root)
    _check_identity(root)
    require_all_tags(root)


def _check_repository(root: Path) -> None:
    require_top(root)
    if not git(root, "rev-parse", "--verify", "--quiet", "HEAD", check=False):
        raise ValueError("the repository has no commit yet; run: git add -A && git commit -m 'Start'")
    if not (root / ".dvc").is_dir():
        raise ValueError(f"{root} is not a DVC project; run: dvc init")


def _check_identity(root: Path) -> None:
    # Asked of the configuration, not of `git var`: DVC and GTO do not guess one from the host name.
    for part, example in (("name", "Your Name"), ("email", "you@example.com")):
        roles = ("AUTHOR", "COMMITTER")
        from_environment = all(os.environ.get(f"GIT_{role}_{part.upper()}") for role in roles)
        if not from_environment and not git(root, "config", f"user.{part}", check=False):
            raise ValueError(
                f"git does not know who you are; run: git config --global user.{part} '{example}'"
            )


def _check_clean(root: Path) -> None:
    status = git(root, "status", "--porcelain", "--untracked-files=all", "--no-renames", "-z")
    for entry in filter(None, status.split("\0")):
        new, path = entry.startswith("??"), entry[3:]
        if _CHANGING.fullmatch(path) or (new and not path.startswith(_CODE)):
            continue
        state, command = (
            ("is not in git", f"git add {path} && git commit")
            if new
            else ("has uncommitted changes", f"git commit -a, or: git stash -- {path}")
        )
        raise ValueError(
            f"{path} {state}, so the model could not be rebuilt from its version; run: {command} "
            "(`dvc repro` runs the pipeline without promotion)"
        )
