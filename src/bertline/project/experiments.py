"""Write a finished run as a DVC experiment: a commit under refs/exps, with HEAD as its parent.

Guarantees that HEAD, the index and the working tree are not touched, whenever it is interrupted. Not by
`dvc exp save`, which detaches HEAD while it works and blesses edited outputs (`dvc commit -f`).
"""

from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from bertline.project.git import git
from bertline.project.reproducible import changed_by_runs


def commit_experiment(root: Path, files: Iterable[str], message: str, name: str | None = None) -> str:
    """Do what `freeze_run` and `publish_experiment` do, at once; return the commit."""
    commit = freeze_run(root, files, message)
    publish_experiment(root, commit, name)
    return commit


def freeze_run(root: Path, files: Iterable[str], message: str) -> str:
    """Write the run as a commit that no ref names yet, so that later edits do not change it; return it.

    It has what a run changes (params, .dvc files and so on), `files` and the outputs that DVC does not cache,
    as they stand now; everything else as HEAD has it.

    Raises:
        ValueError: git cannot do it; the message is its own.
    """
    from dvc.repo import Repo

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
        if changed := changed_by_runs(root):
            git(root, "add", "--update", "--", *changed, index=index)
        new = git(root, "ls-files", "--others", "--exclude-standard", "-z", "--", "*.dvc", index=index)
        git(root, "add", "--force", "--", *files, *uncached, *filter(None, new.split("\0")), index=index)
        tree = git(root, "write-tree", index=index)
    return git(root, "commit-tree", "-p", head, "-m", message, tree)


def publish_experiment(root: Path, commit: str, name: str | None = None) -> None:
    """Make a commit of `freeze_run` an experiment that DVC lists.

    Without a `name`, it is named after its content; an experiment of that name and HEAD is replaced.

    Raises:
        ValueError: git cannot do it; the message is its own.
    """
    head, tree = git(root, "rev-parse", f"{commit}^", f"{commit}^{{tree}}").split()
    git(root, "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/{name or f'run-{tree[:7]}'}", commit)
