"""The files of a version: its model in DVC's cache and remote, and the metrics and params of its commit.

DVC is imported where it is used: a model that was fetched before is found without it, in half the time.
"""

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bertline.core.yaml_text import parse_yaml
from bertline.project.git import git
from bertline.registry.tags import NAME
from bertline.registry.versions import CHAMPION, Version


def download(root: Path, version: Version, folder: Path) -> None:
    """Write the model of `version` to `folder`, from DVC's cache or else its remote.

    Raises:
        ValueError: neither has it.
    """
    with TemporaryDirectory(dir=folder.parent) as scratch, _repo(root) as repo:
        try:
            # One file after the other: with DVC's threads one of some 300 downloads never came to its end.
            repo.artifacts.download(NAME, version=version.name, out=str(Path(scratch, "model")), jobs=1)
        except Exception as error:  # a storage passes on the errors of its client library
            name, cache = version.name, repo.cache.local_cache_dir
            raise ValueError(
                f"the model of {name} is neither in DVC's cache nor in its remote ({error}); "
                f"if the remote cannot be reached now, try again; if the model is lost, make it again from "
                f"the same raw data: git worktree add ../{name} {version.commit[:7]} && cd ../{name} && "
                f"dvc cache dir --local {shlex.quote(cache)} && PYTHONPATH=src dvc repro --pull; "
                f"or give it up: gto deprecate {NAME} {name} {CHAMPION}"
            ) from error
        Path(scratch, "model").rename(folder)


def download_commit(root: Path, commit: str, path: Path, folder: Path) -> None:
    """Write the output `path` of the run at `commit` to `folder`, from DVC's cache or else its remote.

    Raises:
        ValueError: neither has it.
    """
    from dvc.fs import download as download_files

    with _repo(root) as repo, repo.switch(commit):
        try:
            download_files(repo.dvcfs, f"/{path.as_posix()}", str(folder), jobs=1)  # as in `download`
        except Exception as error:  # as in `download`
            raise ValueError(
                f"{path} of the run {commit[:7]} is neither in DVC's cache nor in its remote ({error}); "
                f"if the remote cannot be reached now, try again; or make it again: "
                f"git worktree add ../run {commit[:7]} && cd ../run && PYTHONPATH=src dvc repro --pull"
            ) from error


@contextmanager
def _repo(root: Path) -> Iterator[Any]:
    from dvc.repo import Repo

    with closing(Repo(str(root))) as repo:
        yield repo


def push_outputs(root: Path) -> None:
    """Push the outputs and the run-cache entries of the pipeline to DVC's default remote, if there is one.

    Raises:
        ValueError: the remote does not take them.
    """
    from bertline.project.remote import push

    with _repo(root) as repo:
        remote = repo.config["core"].get("remote")
        try:
            if remote:
                push(repo, repo.index.stages)
        except Exception as error:  # as in `download`
            raise ValueError(f"cannot push to DVC remote {remote!r}: {error}; try: dvc push") from error


def read_reports(root: Path, version: Version, paths: Iterable[Path]) -> list[Mapping[str, Any]]:
    """Return the JSON reports `paths` saved with `version`; one that cannot be read any more is empty."""
    with _repo(root) as repo, repo.switch(version.commit):
        return [_read_report(repo, path) for path in paths]


def _read_report(repo: Any, path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(repo.dvcfs.read_text(path.as_posix(), encoding="utf-8"))
    except Exception:  # as in `download`
        return {}
    return content if isinstance(content, dict) else {}


def read_params(root: Path, version: Version) -> Mapping[str, Any]:
    """Return the sections of the params.yaml saved with `version`; none if it has no such file."""
    document = parse_yaml(git(root, "show", f"{version.commit}:params.yaml", check=False))
    return document if isinstance(document, dict) else {}
