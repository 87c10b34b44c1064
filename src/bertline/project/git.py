"""Run git in a project."""

import os
import subprocess
from pathlib import Path


def git(root: Path, *arguments: str, check: bool = True, index: Path | None = None) -> str:
    """Return git's output in `root`; `index` stands in for the project's own index.

    Without `check`, a failure is "".

    Raises:
        ValueError: git failed, and `check` is set; the message contains git's message.
    """
    env = os.environ | {"GIT_INDEX_FILE": str(index)} if index else None
    done = subprocess.run(["git", *arguments], cwd=root, env=env, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise ValueError(f"git {arguments[0]} failed: {' '.join(done.stderr.split())}")
    return done.stdout.removesuffix("\n") if done.returncode == 0 else ""


def require_top(root: Path) -> None:
    """Check that `root` is the top of a git repository, which git agrees to read.

    Raises:
        ValueError: it is not; the message has the next command.
    """
    folder = root.resolve()
    inside = any((each / ".git").exists() for each in (folder, *folder.parents))
    top = git(folder, "rev-parse", "--show-toplevel", check=inside)
    if top == str(folder):
        return
    if top and Path(top, "dvc.yaml").exists() and not (folder / ".dvc").is_dir():
        raise ValueError(f"{root} is not the root of the project; run from {top}")
    raise ValueError(  # also where a zip was unpacked inside another repository
        f"{root} is not a git repository, and a model is versioned by git tags; "
        "clone the project, or run: git init && git add -A && git commit -m 'Start'"
    )
