"""Run git in a project."""

import os
import subprocess
from pathlib import Path


def git(root: Path, *arguments: str, check: bool = True, index: Path | None = None) -> str:
    """Return what git says in `root`; `index` stands in for the project's own index.

    Without `check`, a failure is "".

    Raises:
        ValueError: git failed, and `check` is set; the message has git's own.
    """
    env = os.environ | {"GIT_INDEX_FILE": str(index)} if index else None
    done = subprocess.run(["git", *arguments], cwd=root, env=env, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise ValueError(f"git {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout.removesuffix("\n") if done.returncode == 0 else ""
