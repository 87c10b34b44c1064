"""DVC's default remote, through which the clones of a project share what their stages computed.

`push` brings the outputs of stages there, then the entries of DVC's run cache that find them by the inputs of
the stage. `SharedCache` is a run cache that looks there at a miss, pushes after each stage of a run, and
writes down what it pushed, so that a run with nothing new does not ask the remote.

Guarantees: an entry is pushed after the outputs that it names; a remote that cannot be used stops no run; a
project without a default remote shares nothing. Cloud-versioned and HTTP remotes hold no run cache: they get
the outputs of promoted models alone.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from copy import copy
from pathlib import Path
from typing import Any

from dvc.exceptions import CheckoutError, CollectCacheError, UploadError
from dvc.repo import Repo
from dvc.stage.cache import RunCacheNotFoundError, StageCache, _can_hash, _get_cache_hash, _get_stage_hash
from dvc.stage.serialize import to_single_stage_lockfile
from dvc_objects.fs.generic import copy as copy_file

from bertline.core.files import content_hash, write_json
from bertline.project.layout import SCRATCH

PUSHED = SCRATCH / "pushed"
_CONNECT_SECONDS = 30  # DVC waits for half an hour until an SSH server answers


class SharedCache(StageCache):  # type: ignore[misc]  # DVC ships no types
    """DVC's run cache, which shares its entries through the default remote, and lists what it restored.

    At a miss it asks the remote. `warn` gets a line if the remote cannot be used, and then it is not asked
    again.
    """

    def __init__(self, repo: Repo, warn: Callable[[str], object]) -> None:
        super().__init__(repo)
        self.restored: list[str] = []
        self._warn = warn
        self._offline = not _holds_run_cache(repo)
        self._note = Path(repo.root_dir, PUSHED)
        self._pushed = self._read_note()

    def restore(self, stage: Any, *arguments: Any, **options: Any) -> None:
        """Restore the outputs of `stage`; RunCacheNotFoundError if no cache has them for its inputs."""
        recorded = [dep.hash_info for dep in stage.deps]
        try:
            super().restore(stage, *arguments, **options)
        except RunCacheNotFoundError:
            if self._offline or not _can_hash(stage):
                raise
            with self._asking(stage):
                self._fetch_entries(_get_stage_hash(stage))
                for dep, hash_info in zip(stage.deps, recorded, strict=True):
                    dep.hash_info = hash_info  # else DVC takes the old outputs for those of the new inputs
                super().restore(stage, *arguments, **{**options, "pull": True})
        self.restored.append(stage.addressing)

    def restore_data(self, stage: Any) -> None:
        """Restore the missing data that a .dvc file names, unless it is an import, if the remote has it."""
        if self._offline or stage.cmd or stage.is_import or all(out.exists for out in stage.outs):
            return
        with suppress(RunCacheNotFoundError), self._asking(stage):
            for odb, objects in stage.get_used_objs().items():
                self.repo.cloud.pull(objects, odb=odb)
            stage.checkout()
            self.restored.append(stage.addressing)

    def push(self, stage: Any) -> None:
        """Push the outputs of `stage`, which is up to date, unless they were pushed before."""
        if self._offline:
            return
        hashes = (repr(each.hash_info) for each in (*stage.deps, *stage.outs))
        what = content_hash(str(stage.cmd), *hashes)
        if self._pushed.get(stage.addressing) == what:
            return
        try:
            push(self.repo, [stage])
        except Exception as error:  # a storage passes on the errors of its client library
            self._give_up(error)
            return
        self._pushed[stage.addressing] = what
        self._note.parent.mkdir(exist_ok=True)
        write_json(self._note, {"remote": _address(self.repo), "stages": self._pushed})

    @contextmanager
    def _asking(self, stage: Any) -> Iterator[None]:
        _holds_run_cache(self.repo)  # it sets the time to connect, which DVC forgets when it has run a stage
        try:
            yield
        except (RunCacheNotFoundError, CheckoutError, CollectCacheError) as error:  # it has not all of them
            raise RunCacheNotFoundError(stage) from error
        except Exception as error:  # as in `push`
            self._give_up(error)
            raise RunCacheNotFoundError(stage) from error

    def _fetch_entries(self, key: str) -> None:
        theirs = _run_cache(self.repo)
        folder = theirs.fs.join(theirs.path, "runs", key[:2], key)
        for path in theirs.fs.find(folder):
            here = self._get_cache_path(key, theirs.fs.name(path))
            Path(here).parent.mkdir(parents=True, exist_ok=True)
            copy_file(theirs.fs, path, self.repo.cache.legacy.fs, here)

    def _give_up(self, error: Exception) -> None:
        self._offline = True
        self._warn(
            f"the DVC remote {_default(self.repo)!r} cannot be used ({_in_one_line(error)}); the run goes on "
            "without it, and the next one pushes what is missing there; see: bertline doctor"
        )

    def _read_note(self) -> dict[str, str]:
        with suppress(OSError, ValueError, LookupError, TypeError):  # none yet, or damaged
            note = json.loads(self._note.read_text("utf-8"))
            if not self._offline and note["remote"] == _address(self.repo):
                return dict(note["stages"])
        return {}


def push(repo: Repo, stages: Iterable[Any]) -> None:
    """Push what `stages` computed to DVC's default remote: their outputs, then their run-cache entries.

    Raises an error of DVC's, or of the client library of the remote's kind.
    """
    if not _holds_run_cache(repo):
        repo.push()
        return
    entries = []
    used: dict[Any, set[Any]] = {}  # by the storage; None is the default remote
    for stage in stages:
        with repo.lock:
            entry = _entry(repo.stage_cache, stage)
            for each in stage.outs:
                out = copy(each)
                out.use_cache |= entry is not None  # the run cache holds also what DVC's cache need not
                for storage, objects in out.get_used_objs(push=True, force=True).items():
                    used.setdefault(storage, set()).update(objects)
        if entry:
            entries.append(entry)
    for storage, objects in used.items():
        if failed := repo.cloud.push(objects, odb=storage).failed:
            raise UploadError(len(failed))
    theirs = _run_cache(repo)
    for key, value in entries:
        path = theirs.fs.join(theirs.path, "runs", key[:2], key, value)
        if not theirs.fs.exists(path):
            theirs.fs.makedirs(theirs.fs.parent(path), exist_ok=True)
            copy_file(repo.cache.legacy.fs, repo.stage_cache._get_cache_path(key, value), theirs.fs, path)


def _entry(cache: StageCache, stage: Any) -> tuple[str, str] | None:
    """Return the key and the value of the entry that the run cache here has for `stage`, as in dvc.lock."""
    if not _can_hash(stage) or not all(out.can_push for out in stage.outs if out.use_cache):
        return None
    entry = _get_stage_hash(stage), _get_cache_hash(to_single_stage_lockfile(stage))
    return entry if cache._load_cache(*entry) else None


def _default(repo: Repo) -> str | None:
    name: str | None = repo.config["core"].get("remote")
    return name


def _address(repo: Repo) -> str:
    """Return a hash of the remote's address, which may hold a password."""
    return content_hash(str(_settings(repo).get("url")))


def _settings(repo: Repo) -> dict[str, Any]:
    """Return the settings of the default remote; none if it is undefined, which DVC says at its use."""
    found: dict[str, Any] = repo.config["remote"].get(_default(repo), {})
    return found


def _holds_run_cache(repo: Repo) -> bool:
    if not _default(repo):
        return False
    settings = _settings(repo)
    url = str(settings.get("url"))
    if url.startswith("ssh://"):
        settings.setdefault("timeout", _CONNECT_SECONDS)
    versioned = settings.get("version_aware") or settings.get("worktree")
    return not versioned and not url.startswith(("http://", "https://"))


def _run_cache(repo: Repo) -> Any:
    """Return the storage of the default remote that holds the run cache."""
    return repo.cloud.get_remote_odb(None, "push", hash_name="md5-dos2unix")


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
