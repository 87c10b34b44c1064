"""Write a finished run as a DVC experiment: a commit under refs/exps, with HEAD as its parent.

Guarantees that HEAD, the index and the working tree are not touched, whenever it is interrupted. Not by
`dvc exp save`, which detaches HEAD while it works and blesses edited outputs (`dvc commit -f`).
"""

from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from dvc.repo import Repo

from bertline.promotion.git import git


def commit_experiment(root: Path, files: Iterable[str], message: str, name: str | None = None) -> str:
    """Commit tracked files as they stand, `files` and outputs DVC does not cache; return the commit.

    Without a `name`, it is named after its content; an experiment of that name and HEAD is replaced.

    Raises:
        ValueError: git cannot do it; the message is its own.
    """
    with closing(Repo(str(root))) as repo:
        uncached = [
            out.fs_path
            for stage in repo.index.stages
            for out in stage.outs
            if not out.use_cache and out.exists
        ]
    head = git(root, "rev-parse", "HEAD")
    with TemporaryDirectory() as scratch:
        index = Path(scratch, "index")
        git(root, "read-tree", head, index=index)
        git(root, "add", "--update", index=index)
        new = git(root, "ls-files", "--others", "--exclude-standard", "-z", "--", "*.dvc", index=index)
        git(root, "add", "--force", "--", *files, *uncached, *filter(None, new.split("\0")), index=index)
        tree = git(root, "write-tree", index=index)
    commit = git(root, "commit-tree", "-p", head, "-m", message, tree)
    git(root, "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/{name or f'run-{tree[:7]}'}", commit)
    return commit
