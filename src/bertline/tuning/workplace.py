"""A second checkout of the project, in which trainings run as DVC experiments.

Guarantees that trainings do not touch the user's own checkout, whenever this is interrupted: not its
params.yaml, dvc.lock and outputs, nor HEAD, index and work tree (`dvc exp run` stashes, detaches HEAD and
resets, even with --temp). Code and params are those of the moment it was opened, so people may go on
working. It stays, so that what was killed continues from its crash checkpoint.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import dropwhile
from pathlib import Path

import psutil
from ruamel.yaml import YAML

from bertline.params.loading import load_params
from bertline.params.tokenize import Params as Tokenize
from bertline.promotion.exclusive import only_run
from bertline.promotion.experiments import commit_experiment
from bertline.promotion.git import git
from bertline.promotion.promote import own_error
from bertline.promotion.rebuildable import require_saveable
from bertline.tuning.editing import Value, edit

_RUNNING = "running.json"
"""Beside the log: process and start time of the dvc that was started last."""
_CHANGING = ("params.yaml", "dvc.lock", "*.dvc")  # what may differ from HEAD where a run can be rebuilt


@dataclass(frozen=True)
class Job:
    """What is run there, and kept in `.bertline/NAME/`: `stages` in this order, on the outputs of `given`."""

    name: str
    given: str
    stages: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """The folder, from the root of the project."""
        return Path(".bertline", self.name)

    @property
    def log(self) -> Path:
        """What DVC and the stages print."""
        return self.folder / "log.txt"


@contextmanager
def open_workplace(root: Path, job: Job) -> Iterator["Workplace"]:
    """Bring `job.given` up to date in `root` and a checkout of it to the same state; be the only one there.

    Raises:
        ValueError: git or DVC cannot do it, or a stage failed; the message is their own.
    """
    require_saveable(root)
    (root / job.folder).mkdir(parents=True, exist_ok=True)
    with only_run(root / job.folder):
        with only_run(root):
            _end_orphan(root / job.folder)
            (root / job.log).write_bytes(b"")
            _dvc(root, root / job.log, "repro", job.given)
        yield Workplace(root, job)


class Workplace:
    """A checkout under `.bertline/`, brought to the state of the user's.

    Raises:
        ValueError: git or DVC cannot do it; the message is their own.
    """

    def __init__(self, root: Path, job: Job) -> None:
        self._root, self._job, self._log = root, job, root / job.log
        self.folder, self.checkout = root / job.folder, root / job.folder / "checkout"
        head = git(root, "rev-parse", "HEAD")
        if (self.checkout / ".git").exists():
            git(self.checkout, "checkout", "--quiet", "--force", "--detach", head)
        else:
            git(root, "worktree", "add", "--force", "--detach", str(self.checkout), head)
        changed = git(root, "diff", "--name-only", "-z", "HEAD", "--", *_CHANGING)
        changed += git(root, "ls-files", "--others", "--exclude-standard", "-z", "--", *_CHANGING)
        for name in filter(None, changed.split("\0")):
            if (root / name).exists():
                (self.checkout / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(root / name, self.checkout / name)
        self._params = (self.checkout / "params.yaml").read_text("utf-8")
        code = git(self.checkout, "rev-parse", "HEAD:src", "HEAD:dvc.yaml")
        self._inputs = [code, self._forget_evaluation(), self._link_models()]
        cache = _dvc(root, self._log, "cache", "dir").strip()
        _dvc(self.checkout, self._log, "config", "--local", "cache.dir", cache)
        _dvc(self.checkout, self._log, "checkout", "--force", job.given)

    def key(self, changes: Mapping[str, Value]) -> str:
        """Return what the result of these changes depends on, as a hash: equal keys give equal bits."""
        document = YAML(typ="safe").load(edit(self._params, changes))
        inputs = json.dumps([self._inputs, [document[stage] for stage in self._job.stages]], sort_keys=True)
        return hashlib.sha256(inputs.encode()).hexdigest()

    def run(self, name: str, changes: Mapping[str, Value]) -> bool:
        """Run the stages with `changes` to the params, and save that as the DVC experiment `name`.

        Return whether there was anything to run: DVC's cache may have all of it.

        Raises:
            ValueError: a stage failed; the message is its own.
        """
        (self.checkout / "params.yaml").write_text(edit(self._params, changes), "utf-8")
        said = _dvc(self.checkout, self._log, "repro", "--single-item", *self._job.stages)
        commit_experiment(self.checkout, ["dvc.lock"], f"{name}: {dict(changes)}", name)
        return "Running stage" in said

    def _forget_evaluation(self) -> object:
        """Take the evaluation of the user's own model out of dvc.lock; return what it says of what is given.

        An experiment would show those scores as its own.
        """
        path, yaml = self.checkout / "dvc.lock", YAML()
        lock = yaml.load(path)
        lock["stages"].pop("evaluate", None)
        with path.open("w", encoding="utf-8") as file:
            yaml.dump(lock, file)
        return json.loads(json.dumps(lock["stages"][self._job.given]["outs"]))

    def _link_models(self) -> list[list[object]]:
        """Link the models that git does not hold: a teacher, and the encoder; return their files."""
        others = ("ls-files", "--others", "-z", "--", "models")
        for name in filter(None, git(self.checkout, *others).split("\0")):
            if (self.checkout / name).is_symlink():
                (self.checkout / name).unlink()
        stages = YAML(typ="safe").load(self.checkout / "dvc.yaml")["stages"].values()
        outs = [out for stage in stages for out in stage.get("outs", [])]
        folders = tuple(f"{next(iter(out)) if isinstance(out, dict) else out}/" for out in outs)
        links = []
        for name in filter(None, git(self._root, *others).split("\0")):
            if not name.startswith(folders):
                (self.checkout / name).parent.mkdir(parents=True, exist_ok=True)
                (self.checkout / name).symlink_to(self._root / name)
                about = (self._root / name).stat()
                links.append([name, about.st_size, about.st_mtime_ns])
        weights = load_params(Tokenize, self.checkout / "params.yaml").weights
        if (self._root / weights).is_dir() and not (self.checkout / weights).exists():
            (self.checkout / weights).parent.mkdir(parents=True, exist_ok=True)
            (self.checkout / weights).symlink_to(self._root / weights)
        return links


def _end_orphan(folder: Path) -> None:
    """End the dvc, and its stage, that was left running there by one that was killed."""
    with suppress(FileNotFoundError, ValueError, psutil.NoSuchProcess, ProcessLookupError):
        pid, born = json.loads((folder / _RUNNING).read_text("utf-8"))
        process = psutil.Process(pid)
        if process.create_time() != born or process.status() == psutil.STATUS_ZOMBIE:
            return  # another process of this number, or none any more
        os.killpg(pid, signal.SIGINT)
        try:
            process.wait(timeout=30)
        except psutil.TimeoutExpired:
            os.killpg(pid, signal.SIGKILL)


def _dvc(root: Path, log: Path, *arguments: str) -> str:
    """Run dvc with the code of `root` and return what was printed; also at the end of `log`.

    An interruption reaches it, and is waited for: as SIGINT, because DVC keeps its locks at a SIGTERM.

    Raises:
        ValueError: it failed; the message is that of the stage.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    env = os.environ | {"PATH": path, "PYTHONPATH": str(root / "src"), "DVC_NO_ANALYTICS": "1"}
    command = [sys.executable, "-m", "dvc", *arguments]
    with log.open("ab+") as file:
        start = file.seek(0, os.SEEK_END)
        process = subprocess.Popen(
            command, cwd=root, env=env, stdout=file, stderr=file, start_new_session=True
        )
        try:
            running = json.dumps([process.pid, psutil.Process(process.pid).create_time()])
            log.with_name(_RUNNING).write_text(running, "utf-8")
            process.wait()
        except BaseException:
            os.killpg(process.pid, signal.SIGINT)
            process.wait()
            raise
        file.seek(start)
        said = file.read().decode("utf-8", errors="replace")
    if process.returncode != 0:
        raise ValueError(_explain(said.splitlines()))
    return said


def _explain(lines: Sequence[str]) -> str:
    """Return the stage's own `error: ...` lines, or what DVC says, or the end of the output."""
    dvcs = dropwhile(lambda line: not line.startswith("ERROR: "), lines)
    said = own_error(lines).removeprefix("error: ") or "\n".join(dvcs).removeprefix("ERROR: ")
    return said or "\n".join([*lines][-5:])
