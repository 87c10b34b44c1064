"""A child process that brings stages up to date as `dvc repro` does, and tells what becomes of each.

`bertline.project.reproduction` starts it, writes one request to its input, and reads its output. DVC itself
plans and runs the stages: output hashes, `dvc.lock` and the run cache end with the same bytes.
"""

import gc
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from copy import deepcopy
from functools import lru_cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dvc.exceptions import DvcException, ReproductionError
from dvc.logger import setup
from dvc.repo import Repo
from dvc.stage.exceptions import MissingDataSource, StageCmdFailedError
from dvc.utils import strictyaml
from dvc.utils.serialize import _yaml, parse_yaml

from bertline.core.stage_command import ERROR_FILE
from bertline.project.dvc import address, explain, missing_data
from bertline.project.dvc_locks import wait_for_dvc
from bertline.project.remote import SharedCache
from bertline.project.reproduction import (
    CACHED,
    COMPLETED,
    RESTORED,
    Began,
    Ended,
    Event,
    Failed,
    Request,
    Told,
    tell,
)

INTERRUPTED = 130


class _ChangedError(Exception):
    """Another DVC was at work, so that what this one has read may have changed."""


class _Reproduction:
    """The stages of one request: DVC calls `reproduce_stage` for each of them, in order."""

    def __init__(self, repo: Repo, request: Request, say: Callable[[Event], None]) -> None:
        self._repo, self._request, self._say = repo, request, say
        self._began: set[str] = set()
        self._done: set[str] = set()
        repo.scm_context.quiet = True  # no advice about git: a retraining never commits
        repo.stage_cache = self._cache = SharedCache(repo, partial(self._tell, warning=True))

    def run(self) -> None:
        """Bring the stages up to date; raises DVC's error, or ValueError if another DVC stays at work."""
        targets, single = [*self._request.stages], self._request.single_item
        options = {"single_item": single, "force": self._request.force}
        while True:
            try:
                self._repo.reproduce(targets, repro_fn=self.reproduce_stage, **options)
            except ReproductionError as error:
                if not isinstance(error.__cause__, _ChangedError):
                    raise
            else:
                return

    def reproduce_stage(self, stage: Any, upstream: Sequence[Any], *, force: bool, **options: Any) -> Any:
        """Do what DVC does for `stage`, which it has planned; return the stage if it ran or was restored."""
        name = address(stage)
        if name in self._done:
            return None
        if name not in self._began:
            self._began.add(name)
            self._say(Began(name, [address(each) for each in upstream]))
        if self._request.wait is not None:
            with self._unlocked():
                waited = wait_for_dvc(Path(self._repo.root_dir), wait=self._request.wait, say=self._tell)
            if waited:
                raise _ChangedError
        self._cache.restore_data(stage)
        force = force and bool(stage.cmd)
        ran = None
        if force or stage.changed():
            self._tell("running")
            ran = stage.reproduce(upstream=upstream, force=force, **options)
            if ran:
                stage.dump(update_pipeline=False)
        else:
            self._tell("up to date")
        if self._request.push:
            with self._unlocked():
                self._cache.push(stage)
        restored = stage.addressing in self._cache.restored
        self._done.add(name)
        self._say(Ended(name, RESTORED if restored else COMPLETED if ran else CACHED))
        return ran

    def _tell(self, line: str, *, warning: bool = False) -> None:
        self._say(Told(line, warning))

    @contextmanager
    def _unlocked(self) -> Iterator[None]:
        self._repo.lock.unlock()
        try:
            yield
        finally:
            self._repo.lock.lock()


def main() -> int:
    """Reproduce what the request asks for, in the current folder; return the exit status."""
    setup(logging.WARNING)  # so that the output has the stages' own lines only
    _yaml.parse_yaml = strictyaml.parse_yaml = _parse_once
    with suppress(DvcException), closing(Repo()) as repo:  # the request comes later, and says what is wrong
        repo.index.graph  # noqa: B018  all that DVC imports late is imported now, and its files are parsed
    gc.freeze()  # or the end of the process searches 100,000 objects that stay: 0.2 s
    text = sys.stdin.readline()
    if not text:  # it is not needed
        return 0
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, sys.stdin.fileno())  # the stages inherit it
    os.close(nothing)
    request = Request(**json.loads(text))
    os.environ.update(request.environment or {})
    try:
        with TemporaryDirectory() as folder:
            return _reproduce(request, partial(tell, sys.argv[1]), Path(folder, "error.json"))
    except KeyboardInterrupt:
        return INTERRUPTED


def _reproduce(request: Request, say: Callable[[Event], None], stage_error: Path) -> int:
    os.environ[ERROR_FILE] = str(stage_error)
    try:
        with closing(Repo(_wait_for_lock=True)) as repo:
            _Reproduction(repo, request, say).run()
    except DvcException as error:
        wrapped = error.__cause__ if isinstance(error, ReproductionError) else None
        cause = wrapped or error  # DVC wraps what a stage met with
        stage, message = None, None
        if stage_error.exists():
            failed = json.loads(stage_error.read_text("utf-8"))
            stage, message = failed["stage"], failed["message"]
        elif isinstance(cause, MissingDataSource):
            message = missing_data(cause)
        elif isinstance(cause, ValueError):
            message = str(cause)
        elif not isinstance(cause, StageCmdFailedError):  # such a stage crashed, and has printed why
            message = explain(cause)
        print(message if isinstance(cause, ValueError) else explain(cause), file=sys.stderr)
        say(Failed(stage, message))
        return 1
    return 0


def _parse_once(text: str, path: Any, typ: str = "safe") -> Any:
    """Parse YAML as DVC does, which reads params.yaml anew for every stage: half of a cached run."""
    return deepcopy(_parsed(text, path)) if typ == "safe" else parse_yaml(text, path, typ=typ)


@lru_cache(maxsize=16)
def _parsed(text: str, path: Any) -> Any:
    return parse_yaml(text, path)


if __name__ == "__main__":
    sys.exit(main())
