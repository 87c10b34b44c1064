"""The model registry: DVC experiments hold the finished runs, GTO's git tags name versions and champion.

It is the only writer of tags. Guarantees:

- Nothing is committed to a branch; HEAD, index and working tree are not touched.
- Every step can be repeated, so that the next promotion completes one that was interrupted.
- History is only added to.
- A version becomes champion only after its model was fetched.

Does not push tags to a git remote: `bertline.registry.git_remote` does.
"""

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock

from bertline.project.experiments import freeze_run, publish_experiment
from bertline.project.git import git, require_top
from bertline.project.layout import CANDIDATE, PACKAGED, SCRATCH
from bertline.project.lock_file import recorded_stages
from bertline.registry.storage import download, push_outputs, read_params, read_reports
from bertline.registry.tags import NAME, Event, read_events
from bertline.registry.versions import CHAMPION, Version, champion_history, registered_versions

_SAVED = ("dvc.lock", "params.yaml")  # what tells one finished run from another
_CLOCK_SECONDS = 5  # a clock may be ahead by so much


class Registry:
    """The registry of the project in `root`.

    Raises:
        ValueError: `root` is not the top of a git repository.
    """

    def __init__(self, root: Path) -> None:
        require_top(root)
        self.root = root.resolve()

    def candidate(self) -> tuple[str, ...] | None:
        """DVC's hashes that identify the model which the pipeline made last; None before the first run.

        They are those of the folders that `package` puts together. The hash of its own folder would change
        with the model card, so that another setting of `evaluate` would make a new model of the same weights.
        """
        return model_hashes(recorded_stages(self.root))

    def versions_of(self, model: tuple[str, ...]) -> list[Version]:
        """Return every version whose model has the hashes `model`, in the order of registration."""
        versions = {version.commit: version for version in self._registered()}
        if not versions:
            return []
        hashes = [word for each in model for word in ("-e", each)]
        asked = ("grep", "--no-color", "--files-with-matches", "--fixed-strings", "--all-match", *hashes)
        found = git(self.root, *asked, *versions, "--", "dvc.lock", check=False)
        return [versions[line.partition(":")[0]] for line in found.splitlines()]

    def versions(self) -> list[Version]:
        """Every registered version that is not deprecated, in the order of registration."""
        return [version for version in self._registered() if not version.deprecated]

    def _registered(self) -> list[Version]:
        return registered_versions(self._events)

    def champion_history(self) -> list[Version]:
        """Every version that was made champion, oldest first; the last one is champion now.

        A rollback repeats a version.
        """
        return champion_history(self._events, self.versions())

    def champion(self) -> Version | None:
        """Return the version that serves now."""
        history = self.champion_history()
        return history[-1] if history else None

    def was_champion(self, version: Version) -> bool:
        """Whether `version` was ever made champion, also if people have revoked that."""
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

    def reports(self, version: Version, *paths: Path) -> list[Mapping[str, Any]]:
        """Return the JSON reports `paths` saved with `version`; one that cannot be read any more is empty."""
        return read_reports(self.root, version, paths)

    def params(self, version: Version) -> Mapping[str, Any]:
        """Return the sections of the params.yaml saved with `version`; none if it has no such file."""
        return read_params(self.root, version)

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
                download(self.root, version, folder)
            kept = {self._folder(each) for each in (version, self.champion()) if each}
            for other in folder.parent.iterdir():  # also what a process that was killed has left
                if other not in kept:
                    shutil.rmtree(other, ignore_errors=True)
        return folder

    @property
    def has_remote(self) -> bool:
        """Whether tags may also be elsewhere."""
        return bool(git(self.root, "remote"))

    @property
    def fetch_tags_hint(self) -> str:
        """A further hint if the registry is empty: a clone may lack the tags of its git remote."""
        return " (or: git fetch --tags)" if self.has_remote else ""

    def _folder(self, version: Version) -> Path:
        return self.root / SCRATCH / "champions" / f"{version.name}-{version.commit[:7]}"

    def push(self) -> None:
        """Push the outputs of the pipeline to DVC's default remote, if there is one.

        Raises:
            ValueError: the remote does not take them.
        """
        push_outputs(self.root)

    def freeze_run(self, message: str) -> str:
        """Return the commit of the finished run as it stands now; edits from here on are not in it.

        If the run was saved before, it is the commit of then.

        Raises:
            ValueError: git cannot do it; the message is its own.
        """
        frozen = freeze_run(self.root, _SAVED, message)
        wanted = self._saved(frozen)
        refs = git(self.root, "for-each-ref", "--format=%(refname) %(objectname)", "refs/exps").splitlines()
        saved = [line.split()[1] for line in refs if not line.startswith("refs/exps/exec/")]
        before = [*(version.commit for version in self.versions()), *saved]
        return next((commit for commit in before if self._saved(commit) == wanted), frozen)

    def save_experiment(self, commit: str) -> str:
        """Make a frozen run a DVC experiment, unless it already is one or is registered; return its commit.

        Raises:
            ValueError: git cannot do it; the message is its own.
        """
        refs = git(self.root, "for-each-ref", "--format=x", "--points-at", commit, "refs/exps")
        if not refs and all(version.commit != commit for version in self.versions()):
            publish_experiment(self.root, commit)
        return commit

    def _saved(self, commit: str) -> list[str]:
        return git(self.root, "rev-parse", *(f"{commit}:{path}" for path in _SAVED), check=False).split()

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
        """Make `version` champion, unless it is; its model is fetched first, to be sure that it can be.

        Raises:
            ValueError: the model is gone, git takes no tag, or the last champion was assigned in the future.
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


def model_hashes(stages: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the hashes that identify the model which `stages` of a dvc.lock made; None if they made none."""
    outs = (out for stage in stages.values() for out in stage.get("outs", ()))
    hashes = {Path(out["path"]): str(out["md5"]) for out in outs}
    if CANDIDATE not in hashes:
        return None
    packaged = [path for path in PACKAGED if path in hashes]  # none in a project without such a stage
    return tuple(hashes[path] for path in packaged or [CANDIDATE])


@contextmanager
def _one_error() -> Iterator[None]:
    from gto.exceptions import GTOException
    from scmrepo.exceptions import SCMError

    try:
        yield
    except (GTOException, SCMError) as error:
        said = " ".join(str(error).split())
        raise ValueError(f"cannot make a tag: {said}; see: git tag --list '{NAME}*'") from error
