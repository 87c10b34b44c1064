"""What can be wrong with a checkout, its remotes and its disk, for `bertline doctor`.

A check is a function of the folder: it returns one line on what it found, or raises a ValueError that says
what is wrong and names the command that mends it. To add one, write it and name it in `CHECKS`. Guarantees
that a check changes nothing but the cache of the champion's model, and takes seconds.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.repo import Repo

import bertline
from bertline.core.params_loading import PARAMS_FILE
from bertline.params.checking import check_params
from bertline.project.git import git
from bertline.project.layout import CANDIDATE
from bertline.project.processes import run_process
from bertline.project.reproducible import require_identity, require_repository, require_saveable
from bertline.project.supervisor import FOLDER, find_running
from bertline.registry.git_remote import chosen_remote, push_command, unpushed
from bertline.registry.registry import Registry
from bertline.registry.tags import require_all_tags

_REMOTE_SECONDS = 20.0
_MODELS_NEEDED = 6  # candidates: checkpoints, the folders of three stages, and their copies in DVC's cache
_GB = 1e9


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one check found."""

    check: str
    line: str
    is_wrong: bool

    def __str__(self) -> str:
        return f"{'WRONG' if self.is_wrong else 'ok':<6}{self.check:<13}{self.line}"


def look(check: str, ask: Callable[[], str]) -> Finding:
    """Return what the check named `check` finds, whatever stops it."""
    try:
        return Finding(check=check, line=ask(), is_wrong=False)
    except Exception as error:  # a storage passes on the errors of its client library
        return Finding(check=check, line=" ".join(str(error).split()), is_wrong=True)


def examine(root: Path) -> Iterable[Finding]:
    """Yield a finding for each check of the checkout `root`."""
    for name, check in CHECKS:
        yield look(name, lambda check=check: check(root))  # type: ignore[misc]


def check_repository(root: Path) -> str:
    """Check that git and DVC are set up, and git knows the user."""
    require_repository(root)
    require_identity(root)
    return f"a git repository and a DVC project, at {git(root, 'rev-parse', '--short', 'HEAD')}"


def check_committed(root: Path) -> str:
    """Check that a model of this checkout could be rebuilt from its version."""
    require_saveable(root)
    return "all that rebuilds a model is committed"


def check_params_file(root: Path) -> str:
    """Check that params.yaml is valid."""
    check_params(Path(os.path.relpath(root / PARAMS_FILE)))
    return "params.yaml is valid"


def check_environment(root: Path) -> str:
    """Check that the active environment runs the code of this checkout."""
    installed = Path(bertline.__file__).resolve().parents[2]
    own = root.resolve()
    if (own / "src" / "bertline").is_dir() and installed != own:
        raise ValueError(
            f"the active environment runs the code of {installed}, not of this checkout; "
            "run: make setup && . .venv/bin/activate"
        )
    return f"runs the code of {installed}"


def check_git_remote(root: Path) -> str:
    """Check that the git remote answers; bring its tags, as a run does."""
    if "origin" not in git(root, "remote", check=False).split():
        return "no git remote origin: tags and experiments stay in this checkout"
    if run_process(["git", "ls-remote", "--heads", "origin"], root, seconds=_REMOTE_SECONDS) is None:
        raise ValueError("the git remote origin does not answer; see: git ls-remote origin")
    require_all_tags(root)
    return "origin answers, and all of its tags are here"


def check_push(root: Path) -> str:
    """Check that promotions reach the git remote that they are to go to."""
    remote = chosen_remote(root)
    if remote is None:
        return "promote.push is null: a promotion stays in this checkout until you push it"
    if refs := unpushed(root):
        raise ValueError(
            f"{len(refs)} tags and experiments of promotions are not pushed to {remote}; "
            f"the next run pushes them, or run: {push_command(remote, refs)}"
        )
    return f"promotions are pushed to {remote}"


def check_dvc_remote(root: Path) -> str:
    """Check that DVC's default remote answers."""
    with closing(Repo(str(root))) as repo:
        name = repo.config["core"].get("remote")
        if not name:
            return "no DVC remote: models stay on this machine (to have one: dvc remote add -d NAME URL)"
        storage = repo.cloud.get_remote(name)
        if not storage.fs.exists(storage.path) and storage.fs.protocol == "local":
            raise ValueError(
                f"the folder {storage.path} of the DVC remote {name!r} is not there; "
                f"mount it, or if it is new: mkdir -p {storage.path}"
            )
    return f"the DVC remote {name!r} answers"


def check_champion(root: Path) -> str:
    """Check that the model of the champion is there, or can be fetched."""
    registry = Registry(root)
    champion = registry.champion()
    if champion is None:
        return f"none yet: make run registers the first{registry.fetch_tags_hint}"
    registry.fetch(champion)
    return f"{champion.name}, and its model is here"


def check_locks(root: Path) -> str:
    """Check that DVC can read its locks."""
    path = root / ".dvc" / "tmp" / "rwlock"
    try:
        held: dict[str, Any] = json.loads(path.read_text("utf-8") or "{}") if path.exists() else {}
    except ValueError:
        raise ValueError(
            f"{path.relative_to(root)} is broken: a machine stopped while DVC wrote it; "
            f"if no run is going on: rm {path.relative_to(root)}"
        ) from None
    return f"DVC holds {len(held)} paths" if held else "DVC holds no lock"


def check_services(root: Path) -> str:
    """Check that what `make up` started still runs."""
    running = find_running(root)
    if running is None:
        return "make up does not run here"
    if not running.alive:
        raise ValueError("what make up had started was killed, or the machine restarted; run: make up")
    if dead := [name for name, pid in running.services.items() if pid is None]:
        logs = ", ".join(str(FOLDER / f"{name}.log") for name in dead)
        raise ValueError(f"{', '.join(dead)} ended and will be started again; see: {logs}")
    return f"make up runs {', '.join(running.services)} (process {running.pid})"


def check_disk(root: Path) -> str:
    """Check that there is room for a retraining."""
    free = shutil.disk_usage(root).free
    model = _size(root / CANDIDATE)
    cache = f"{free / _GB:.1f} GB free; .dvc/cache has {_size(root / '.dvc' / 'cache') / _GB:.1f} GB"
    if free < _MODELS_NEEDED * model:
        raise ValueError(
            f"{cache}; a retraining needs about {_MODELS_NEEDED * model / _GB:.1f} GB "
            f"({_MODELS_NEEDED} x the model); make room: see 'Disk' in docs/operations.md"
        )
    return cache


def _size(folder: Path) -> int:
    return sum(Path(at, name).lstat().st_size for at, _, names in os.walk(folder) for name in names)


CHECKS: tuple[tuple[str, Callable[[Path], str]], ...] = (
    ("repository", check_repository),
    ("committed", check_committed),
    ("params", check_params_file),
    ("environment", check_environment),
    ("git remote", check_git_remote),
    ("push", check_push),
    ("DVC remote", check_dvc_remote),
    ("champion", check_champion),
    ("locks", check_locks),
    ("disk", check_disk),
    ("services", check_services),
)
