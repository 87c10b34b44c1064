"""DVC in this checkout: whether a stage is up to date, running stages, and the errors of both in one line."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

from dvc.dvcfile import PROJECT_FILE
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.repo.reproduce import get_active_graph, plan_repro
from dvc.rwlock import RWLockFileCorruptedError

from bertline.core.yaml_text import parse_yaml
from bertline.project.processes import child_process
from bertline.project.recovery import LOCK_FILE, mark

_LAST_LINES = 5  # of the output of a stage that crashed


class StageError(ValueError):
    """A stage failed, or DVC cannot run it; the message is that of the stage, or DVC's.

    `stage` is the name of the stage if the message is its own.
    """

    def __init__(self, message: str, stage: str | None = None) -> None:
        super().__init__(message)
        self.stage = stage


@dataclass
class Outcome:
    """The result of bringing stages up to date; stages are named as DVC addresses them."""

    ran: list[str] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)  # from DVC's run cache, here or in its default remote
    unreachable: str | None = None  # why the remote could not be used
    stage: str | None = None  # the one that failed with a message of its own
    message: str | None = None  # why it failed; None also if a stage crashed

    def write(self, path: Path) -> None:
        """Write all of it as JSON."""
        path.write_text(json.dumps(asdict(self)), "utf-8")

    def error(
        self, printed: Sequence[str], running: str | None = None, status: int | None = None
    ) -> StageError:
        """Return the error of a run that failed; `printed` has the last lines of its output.

        `running` is the stage that ran, if it was a single one; `status` is the exit status of the child,
        negative if a signal ended it.
        """
        last = "\n".join(printed[-_LAST_LINES:])
        if self.message is None and running:
            how = "crashed"
            if status is not None and status < 0:
                how = f"ended, because DVC was ended by {signal.Signals(-status).name}, from outside"
            return StageError(f"{running} {how}; its last lines:\n{last}")
        message = self.message or last
        return StageError(f"{self.stage}: {message}" if self.stage else message, self.stage)


class Reproduction:
    """A child process that brings stages up to date; `outcome` is complete after the block."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.outcome = Outcome()


def recorded_stages(root: Path) -> Mapping[str, Any]:
    """Return the stages that dvc.lock records, by name; nobody may change them."""
    path = root / LOCK_FILE
    stages: Mapping[str, Any] = parse_yaml(path.read_text("utf-8"))["stages"] if path.exists() else {}
    return stages


@contextmanager
def reproducing(
    root: Path,
    *stages: str,
    single_item: bool,
    force: bool = False,
    offline: bool = False,
    output: int | IO[bytes] = subprocess.PIPE,
    environment: Mapping[str, str] | None = None,
    seconds: float | None = None,
) -> Iterator[Reproduction]:
    """Bring `stages` of the project in `root` up to date, in a child process that the block can read.

    With `single_item` the stages before them are left as they are; with `force` they run even if they are up
    to date, or in DVC's run cache. With `offline` DVC's default remote is not asked for what others computed.
    The stages' output goes to `output`.

    Raises:
        subprocess.TimeoutExpired: at the end of the block; it ran longer than `seconds`, and was ended.
    """
    with TemporaryDirectory() as scratch:
        path = Path(scratch, "outcome.json")
        given = {"--single-item": single_item, "--force": force, "--offline": offline}
        options = [option for option, is_set in given.items() if is_set]
        command = [
            sys.executable,
            "-m",
            "bertline.project.reproduce",
            *options,
            "--outcome",
            str(path),
            *stages,
        ]
        variables = {**mark(root), **(environment or {})}
        with child_process(command, root, output=output, environment=variables, seconds=seconds) as process:
            run = Reproduction(process)
            yield run
        if path.exists():  # a child that was killed has written none
            run.outcome = Outcome(**json.loads(path.read_text("utf-8")))


def stages_between(root: Path, upstream: str, target: str) -> tuple[str, ...]:
    """Return the stages of the map that lead from `upstream` to `target`, in the order in which they run.

    `target` is the last of them; `upstream` itself is none of them.
    """
    found: list[str] = []
    with closing(Repo(str(root))) as repo:
        graph = get_active_graph(repo.index.graph)  # an edge leads from a stage to one that it depends on
        [first], [last] = (repo.stage.collect(f"{root / PROJECT_FILE}:{name}") for name in (upstream, target))
        reached = {first}
        for stage in plan_repro(graph, [last]):  # each comes after those that it depends on
            if not reached.isdisjoint(graph.successors(stage)):
                reached.add(stage)
                found.append(stage.name)
    return tuple(found)


def require_reproduced(root: Path, stage: str) -> None:
    """Raise a ValueError unless `stage` and all before it are up to date, in DVC's own judgement."""
    try:
        with closing(Repo(str(root), _wait_for_lock=True)) as repo, repo.lock:
            stages = repo.stage.collect(f"{root / PROJECT_FILE}:{stage}", with_deps=True)
            stale = sorted(str(each.addressing) for each in stages if each.changed())
    except DvcException as error:  # also: another process runs a stage now
        raise ValueError(f"cannot tell whether the candidate is up to date: {explain(error)}") from error
    if stale:
        raise ValueError(
            f"the candidate is not up to date (stale: {', '.join(stale)}); run: dvc repro {stage}"
        )


def explain(error: BaseException) -> str:
    """Return the message of an error that DVC met with, in one line, with the next command."""
    # A DVC that is killed while it writes its list of readers and writers leaves a file that no DVC can read.
    torn = isinstance(error, RWLockFileCorruptedError)
    return f"{' '.join(str(error).split())}; {'run: rm .dvc/tmp/rwlock' if torn else 'see: dvc status'}"


def missing_data(error: DvcException) -> str:
    """Return the message about data that a .dvc file names and that is not here."""
    return f"{' '.join(str(error).split())}; run: dvc pull"
