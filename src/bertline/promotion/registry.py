"""The model registry: DVC experiments hold the finished runs, GTO's git tags name versions and champion.

The only writer of tags. Guarantees: nothing is committed to a branch, and HEAD, index and working tree are
not touched; every step can be repeated, so that an interrupted promotion is completed by the next one;
history is only added to; a version becomes champion only after its model was fetched. Does not push tags to
a git remote: share them with `git push --tags`.
"""

import json
import shlex
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dvc.repo import Repo
from filelock import FileLock
from ruamel.yaml import YAML

from bertline.promotion.experiments import commit_experiment
from bertline.promotion.git import git, require_top
from bertline.promotion.tags import NAME, Event, read_events

MODEL = "models/candidate"  # the path of NAME in the artifacts section of dvc.yaml
CHAMPION = "champion"
METRICS = "reports/evaluation/metrics.json"
_SAVED = ("dvc.lock", "params.yaml")  # what tells one finished run from another
_CLOCK_SECONDS = 5  # a clock may be ahead by so much


@dataclass(frozen=True, kw_only=True)
class Version:
    """A registered model: a tag on the commit of the experiment that made it."""

    name: str  # v1.2.0
    commit: str
    registered: int  # seconds since 1970
    reasons: str
    deprecated: bool  # by people: its tags stay, and it can be champion no more


class Registry:
    """The registry of the project in `root`.

    Raises:
        ValueError: `root` is not the top of a git repository.
    """

    def __init__(self, root: Path) -> None:
        require_top(root)
        self.root = root.resolve()

    def candidate(self) -> str | None:
        """DVC's hash of the model that the pipeline made last; None before the first run."""
        lock = self.root / "dvc.lock"
        stages = YAML(typ="safe").load(lock)["stages"] if lock.exists() else {}
        outs = (out for stage in stages.values() for out in stage.get("outs", ()))
        return next((str(out["md5"]) for out in outs if out["path"] == MODEL), None)

    def holding(self, model: str) -> list[Version]:
        """Return every version whose model has the hash `model`, in the order of registration."""
        versions = {version.commit: version for version in self._registered()}
        if not versions:
            return []
        asked = ("grep", "--no-color", "--files-with-matches", "--fixed-strings", model)
        found = git(self.root, *asked, *versions, "--", "dvc.lock", check=False)
        return [versions[line.partition(":")[0]] for line in found.splitlines()]

    def versions(self) -> list[Version]:
        """Every registered version that is not deprecated, in the order of registration."""
        return [version for version in self._registered() if not version.deprecated]

    def _registered(self) -> list[Version]:
        registrations = [event for event in self._events if event.version]
        revoked = {event.version for event in registrations if event.revoked}
        return [
            Version(
                name=str(each.version),
                commit=each.commit,
                registered=each.at,
                reasons=each.message,
                deprecated=each.version in revoked,
            )
            for each in sorted(registrations, key=lambda each: each.at)
            if not each.revoked
        ]

    def champions(self) -> list[Version]:
        """Whoever was made champion, oldest first; the last one reigns. A rollback repeats a version."""
        by_commit = {version.commit: version for version in self.versions()}
        reigns: list[Version] = []
        for event in self._events:
            if event.stage != CHAMPION or event.commit not in by_commit:
                continue
            if event.revoked:
                reigns = [each for each in reigns if each.commit != event.commit]
            else:
                reigns.append(by_commit[event.commit])
        return reigns

    def champion(self) -> Version | None:
        """Return the version that serves now."""
        reigns = self.champions()
        return reigns[-1] if reigns else None

    def has_reigned(self, version: Version) -> bool:
        """Whether `version` was ever made champion, also if people have taken that back."""
        return any(event.stage == CHAMPION and event.commit == version.commit for event in self._events)

    def find(self, name: str) -> Version:
        """Return the version called `name`.

        Raises:
            ValueError: there is none.
        """
        versions = {version.name: version for version in self.versions()}
        if name not in versions:
            raise ValueError(f"there is no version {name!r}; there are: {', '.join(versions) or 'none yet'}")
        return versions[name]

    def metrics(self, version: Version) -> Mapping[str, Any] | None:
        """Return the test metrics saved with `version`, or None if they cannot be read any more."""
        with closing(Repo(str(self.root))) as repo, repo.switch(version.commit):
            try:
                content = json.loads(repo.dvcfs.read_text(METRICS, encoding="utf-8"))
            except Exception:  # as in `fetch`
                return None
        assert isinstance(content, dict)
        return content

    def params(self, version: Version) -> Mapping[str, Any]:
        """Return the sections of the params.yaml saved with `version`; none if it has no such file."""
        document = YAML(typ="safe").load(git(self.root, "show", f"{version.commit}:params.yaml", check=False))
        return document if isinstance(document, dict) else {}

    def fetch(self, version: Version) -> Path:
        """Return a local folder with the model of `version`, from DVC's cache or else its remote.

        The folder stays until another version is fetched; the champion's stays longer.

        Raises:
            ValueError: neither has it.
        """
        folder = self._folder(version)
        if folder.is_dir():
            return folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent.with_suffix(".lock")):
            if not folder.is_dir():  # another process was not quicker
                self._download(version, folder)
            kept = {self._folder(each) for each in (version, self.champion()) if each}
            for other in folder.parent.iterdir():  # also what a process that was killed has left
                if other not in kept:
                    shutil.rmtree(other, ignore_errors=True)
        return folder

    def _download(self, version: Version, folder: Path) -> None:
        with TemporaryDirectory(dir=folder.parent) as scratch, closing(Repo(str(self.root))) as repo:
            try:
                repo.artifacts.download(NAME, version=version.name, out=str(Path(scratch, "model")))
            except Exception as error:  # a storage raises whatever its client library does
                name, cache = version.name, repo.cache.local_cache_dir
                raise ValueError(
                    f"the model of {name} is not in DVC's cache and cannot be had from its remote ({error}); "
                    f"if the remote is only away, try again; if it is lost, make it again from the same "
                    f"raw data: git worktree add ../{name} {version.commit[:7]} && cd ../{name} && "
                    f"dvc cache dir --local {shlex.quote(cache)} && PYTHONPATH=src dvc repro --pull; "
                    f"or, for good, do without: gto deprecate {NAME} {name} {CHAMPION}"
                ) from error
            Path(scratch, "model").rename(folder)

    @property
    def has_remote(self) -> bool:
        """Whether tags may also be elsewhere."""
        return bool(git(self.root, "remote"))

    @property
    def elsewhere(self) -> str:
        """What else to try where the registry is empty: of a git remote, a clone may lack the tags."""
        return " (or: git fetch --tags)" if self.has_remote else ""

    def _folder(self, version: Version) -> Path:
        return self.root / ".bertline" / "champions" / f"{version.name}-{version.commit[:7]}"

    def push(self) -> None:
        """Push the outputs of the pipeline to DVC's default remote, if there is one.

        Raises:
            ValueError: the remote does not take them.
        """
        with closing(Repo(str(self.root))) as repo:
            remote = repo.config["core"].get("remote")
            try:
                if remote:
                    repo.push()
            except Exception as error:  # as in `fetch`
                raise ValueError(f"cannot push to DVC remote {remote!r}: {error}; try: dvc push") from error

    def save_experiment(self, message: str) -> str:
        """Save the finished run as a DVC experiment, unless it already is, and return its commit.

        Raises:
            ValueError: git cannot do it; the message is its own.
        """
        wanted = [git(self.root, "hash-object", path) for path in _SAVED]
        refs = git(self.root, "for-each-ref", "--format=%(refname) %(objectname)", "refs/exps").splitlines()
        saved = [line.split()[1] for line in refs if not line.startswith("refs/exps/exec/")]
        for commit in [*(version.commit for version in self.versions()), *saved]:
            if (
                git(self.root, "rev-parse", *(f"{commit}:{path}" for path in _SAVED), check=False).split()
                == wanted
            ):
                return commit
        return commit_experiment(self.root, _SAVED, message)

    def register(self, commit: str, message: str) -> Version:
        """Give the experiment at `commit` the next version, unless it already has one.

        Raises:
            ValueError: git takes no tag.
        """
        for version in self.versions():
            if version.commit == commit:
                return version
        import gto.api  # here, as in `assign`, because reading the registry does without
        from gto.versions import SemVer

        # Not bumped by GTO, which would give the number of a deprecated version once more.
        taken = [SemVer(version.name) for version in self._registered()]
        number = max(taken).bump_minor().version if taken else "v1.0.0"
        with _one_error():
            gto.api.register(str(self.root), NAME, commit, version=number, message=message)
        del self._events
        return next(version for version in self.versions() if version.commit == commit)

    def assign(self, version: Version, message: str) -> None:
        """Make `version` champion, unless it is; its model is fetched first, as proof that it is there.

        Raises:
            ValueError: the model is gone, git takes no tag, or the last champion is one of the future.
        """
        if self.champion() == version:
            return
        import gto.api

        self.fetch(version)
        # DVC and GTO order assignments by the second they were made in: never two in the same one.
        last = max((event.at for event in self._events if event.stage), default=0)
        if last > time.time() + _CLOCK_SECONDS:
            at = datetime.fromtimestamp(last, UTC)
            raise ValueError(
                f"the last {CHAMPION} was assigned at {at:%Y-%m-%d %H:%M:%S} UTC, which is in the future: "
                "the clock of another clone is ahead, or this one's is behind (see: date); try again then"
            )
        while last >= int(time.time()):
            time.sleep(0.1)
        with _one_error():
            gto.api.assign(str(self.root), NAME, CHAMPION, version=version.name, message=message, force=True)
        del self._events

    @cached_property
    def _events(self) -> list[Event]:
        return read_events(self.root)


@contextmanager
def _one_error() -> Iterator[None]:
    from gto.exceptions import GTOException
    from scmrepo.exceptions import SCMError

    try:
        yield
    except (GTOException, SCMError) as error:
        said = " ".join(str(error).split())
        raise ValueError(f"cannot make a tag: {said}; see: git tag --list '{NAME}*'") from error
