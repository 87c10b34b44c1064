"""A second checkout of the project, in which trainings run as DVC experiments.

- Trainings do not touch the user's own checkout, whenever they are interrupted: not its params.yaml, dvc.lock
  and outputs, nor HEAD, index and work tree. (`dvc exp run` stashes, detaches HEAD and resets.)
- Code and params are those of the moment the worktree was opened, so people may go on working.
- The worktree stays, so that a killed training continues from its crash checkpoint.
"""

import hashlib
import json
import os
import shutil
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from dvc.dvcfile import PROJECT_FILE
from dvc.exceptions import DvcException
from dvc.repo import Repo
from ruamel.yaml import YAML

from bertline.core.params_loading import load_params
from bertline.params.tokenize import Params as Tokenize
from bertline.project.dvc import explain, stages_between
from bertline.project.experiments import commit_experiment
from bertline.project.git import git
from bertline.project.processes import end_group, identity, is_alive
from bertline.project.reproducible import changed_by_runs, require_saveable
from bertline.project.reproduction import COMPLETED, Request, reproducing
from bertline.project.run_lock import only_run
from bertline.tuning.yaml_edit import Value, edit

_RUNNING = "running.json"
"""Beside the log: process and start time of the dvc that was started last."""
_NEW = ("dvc.lock", "*.dvc")  # these may be in no commit yet, and a run can still be rebuilt


@dataclass(frozen=True)
class Job:
    """A job to run there: the stages after `upstream` that lead to `target`; kept in `.bertline/NAME/`."""

    name: str
    upstream: str
    target: str

    @property
    def folder(self) -> Path:
        """The folder, from the root of the project."""
        return Path(".bertline", self.name)

    @property
    def log(self) -> Path:
        """The output of DVC and the stages."""
        return self.folder / "log.txt"


@contextmanager
def open_worktree(root: Path, job: Job) -> Iterator["Worktree"]:
    """Bring `job.upstream` up to date in `root` and the worktree to the same state; be the only one there.

    Raises:
        ValueError: git or DVC cannot do it, or a stage failed; the message is their own.
    """
    require_saveable(root)
    (root / job.folder).mkdir(parents=True, exist_ok=True)
    with only_run(root / job.folder):
        with only_run(root):
            _end_orphan(root / job.folder)
            (root / job.log).write_bytes(b"")
            _reproduce(root, root / job.log, job.upstream, single_item=False)
        yield Worktree(root, job)


class Worktree:
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
        new = git(root, "ls-files", "--others", "--exclude-standard", "-z", "--", *_NEW)
        for name in (*changed_by_runs(root), *filter(None, new.split("\0"))):
            if (root / name).exists():
                (self.checkout / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(root / name, self.checkout / name)
        self._params = (self.checkout / "params.yaml").read_text("utf-8")
        code = git(self.checkout, "rev-parse", "HEAD:src", "HEAD:dvc.yaml")
        self._stages = stages_between(self.checkout, job.upstream, job.target)
        self._inputs = [code, self._forget_evaluation(), self._link_models()]
        _check_out(self.checkout, job.upstream, cache_of=root)

    def key(self, changes: Mapping[str, Value]) -> str:
        """Return what the result of these changes depends on, as a hash: equal keys give equal bits."""
        document = YAML(typ="safe").load(edit(self._params, changes))
        inputs = json.dumps([self._inputs, [document[stage] for stage in self._stages]], sort_keys=True)
        return hashlib.sha256(inputs.encode()).hexdigest()

    def run(self, name: str, changes: Mapping[str, Value]) -> bool:
        """Run the stages with `changes` to the params, and save that as the DVC experiment `name`.

        Return whether there was anything to run: DVC's cache may have all of it.

        Raises:
            ValueError: a stage failed; the message is its own.
        """
        (self.checkout / "params.yaml").write_text(edit(self._params, changes), "utf-8")
        ran = _reproduce(self.checkout, self._log, *self._stages, single_item=True)
        commit_experiment(self.checkout, ["dvc.lock"], f"{name}: {dict(changes)}", name)
        return ran

    def _forget_evaluation(self) -> object:
        """Take the evaluation of the user's model out of dvc.lock; return the hashes of the upstream outputs.

        Otherwise an experiment would show those scores as its own.
        """
        path, yaml = self.checkout / "dvc.lock", YAML()
        lock = yaml.load(path)
        lock["stages"].pop("evaluate", None)
        with path.open("w", encoding="utf-8") as file:
            yaml.dump(lock, file)
        return json.loads(json.dumps(lock["stages"][self._job.upstream]["outs"]))

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


def _check_out(checkout: Path, stage: str, *, cache_of: Path) -> None:
    """Bring the outputs of `stage` and of all before it into `checkout`, from the DVC cache of `cache_of`."""
    try:
        with closing(Repo(str(cache_of))) as repo:
            cache = repo.cache.local_cache_dir
        with closing(Repo(str(checkout))) as repo, repo.config.edit("local") as config:
            config["cache"]["dir"] = cache
        with closing(Repo(str(checkout))) as repo:
            repo.checkout([f"{checkout / PROJECT_FILE}:{stage}"], force=True)
    except DvcException as error:
        raise ValueError(explain(error)) from error


def _end_orphan(folder: Path) -> None:
    """End the training that was left running there by a command that was killed."""
    with suppress(FileNotFoundError, ValueError, LookupError, TypeError):  # none, or damaged
        left = json.loads((folder / _RUNNING).read_text("utf-8"))
        if is_alive(left):
            end_group(left["pid"])


def _reproduce(root: Path, log: Path, *stages: str, single_item: bool) -> bool:
    """Bring `stages` up to date with the code of `root`; return whether any of them had to run.

    What they print is added to `log`.

    Raises:
        ValueError: one failed; the message is its own.
    """
    path = os.pathsep.join(filter(None, [str(root / "src"), os.environ.get("PYTHONPATH")]))
    code = {"PYTHONPATH": path}
    lines: deque[str] = deque(maxlen=50)
    request = Request(stages, single_item=single_item, environment=code)
    with log.open("a", encoding="utf-8", buffering=1) as file, reproducing(root, request) as run:
        log.with_name(_RUNNING).write_text(json.dumps(identity(run.process.pid)), "utf-8")
        for event in run.events():
            if isinstance(event, str):
                lines.append(event)
                print(event, file=file)
    if run.process.returncode != 0:
        raise run.error([*lines])
    return COMPLETED in run.ended.values()
