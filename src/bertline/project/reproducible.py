"""What git must know for a model to be rebuilt from its version, a year later.

A finished run is saved as a DVC experiment and promoted as a git tag: both name a commit.
A file of the checkout is

- one that changes from run to run: the commit takes it as it stands;
- one that a rebuild needs: it must be committed before;
- or neither, such as README.md: the commit has it as HEAD has it.
"""

import os
import re
from pathlib import Path

from bertline.core.own_code import require_own_code
from bertline.core.stage_map import read_stages
from bertline.project.git import git, require_top
from bertline.project.layout import PINNED_ROWS, REVIEWS

# What a retraining and the commands for its user change from run to run.
_CHANGING = re.compile(
    r"params\.yaml|dvc\.lock|reports/.*|.*\.dvc|(.*/)?\.gitignore|"
    + "|".join(re.escape(each.as_posix()) for each in (REVIEWS, PINNED_ROWS))
)
_CODE = ("src/", "flows/")
_NEEDED = ("dvc.yaml", ".dvcignore", ".dvc/config", "pyproject.toml", "requirements.lock", "assets.lock")


def require_saveable(root: Path) -> None:
    """Check that a run in `root` could be saved as an experiment, and rebuilt from what is saved.

    Raises:
        ValueError: git or DVC is not set up, or the code is not committed or not this project's; the message
            has the next command.
    """
    require_repository(root)
    require_identity(root)
    require_own_code(root)
    _check_clean(root)


def require_repository(root: Path) -> None:
    """Raise a ValueError unless `root` is the top of a git repository with a commit, and a DVC project."""
    require_top(root)
    if not git(root, "rev-parse", "--verify", "--quiet", "HEAD", check=False):
        raise ValueError("the repository has no commit yet; run: git add -A && git commit -m 'Start'")
    if not (root / ".dvc").is_dir():
        raise ValueError(f"{root} is not a DVC project; run: dvc init")


def require_identity(root: Path) -> None:
    """Raise a ValueError unless git knows whose name to write into a commit."""
    # Asked of the configuration, not of `git var`: DVC and GTO do not guess one from the host name.
    for part, example in (("name", "Your Name"), ("email", "you@example.com")):
        roles = ("AUTHOR", "COMMITTER")
        from_environment = all(os.environ.get(f"GIT_{role}_{part.upper()}") for role in roles)
        if not from_environment and not git(root, "config", f"user.{part}", check=False):
            raise ValueError(
                f"git does not know who you are; run: git config --global user.{part} '{example}'"
            )


def changed_by_runs(root: Path) -> list[str]:
    """Return which of git's files that change from run to run differ from HEAD; some may be deleted."""
    changed = git(root, "diff", "--name-only", "--no-renames", "-z", "HEAD")
    return [path for path in filter(None, changed.split("\0")) if _CHANGING.fullmatch(path)]


def _check_clean(root: Path) -> None:
    named = _named_by_stages(root)
    status = git(root, "status", "--porcelain", "--untracked-files=all", "--no-renames", "-z")
    for entry in filter(None, status.split("\0")):
        new, path = entry.startswith("??"), entry[3:]
        # A dependency that git does not hold is data, which `dvc add` may hold.
        needed = path.startswith(_CODE) or (not new and (path in _NEEDED or _lies_in(path, named)))
        if not needed or _CHANGING.fullmatch(path):
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


def _named_by_stages(root: Path) -> set[str]:
    """Return the paths that dvc.yaml names: what stages depend on, and the words of their commands."""
    paths = set()
    for stage in read_stages(root).values():
        words = re.split(r"[\s=]+", " ".join(stage.commands))
        named = (*stage.deps, *stage.params, *filter(None, words))
        paths |= {os.path.normpath(Path(stage.folder, path)) for path in named}
    return paths


def _lies_in(path: str, named: set[str]) -> bool:
    return path in named or any(str(parent) in named for parent in Path(path).parents)
