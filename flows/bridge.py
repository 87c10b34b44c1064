"""The bridge between DVC and Prefect: every node of DVC's graph becomes one Prefect task of the same name.

Guarantees: the stages, their order and what is up to date come from DVC, so `dvc.lock` ends with the same
bytes as after `dvc repro`; a stage that fails shows its own error; whatever ends the flow (an error, Ctrl-C,
a cancellation from the UI) also ends the stage's processes. Does not run stages side by side, and cannot
clean up after `kill -9` of the flow itself.
"""

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from io import TextIOWrapper
from itertools import takewhile
from pathlib import Path
from typing import Any

from dvc.dvcfile import PROJECT_FILE
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.repo.reproduce import collect_stages, get_active_graph, plan_repro
from prefect import State, Task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed

from bertline.promotion.promote import explain, own_error

GRACE_SECONDS = 10.0  # between asking a stage to stop and insisting
_RESTORED = "is cached - skipping run, checking out outputs"  # DVC found the same inputs in its run cache
_GIT_HINT = "To track the changes with git, run:"  # DVC's closing advice; a retraining never commits


class StageError(Exception):
    """A stage failed; the message is what the stage itself said."""


def run_pipeline(root: Path) -> dict[str, State[Any]]:
    """Bring every node of the graph of `root` up to date, in the order of `dvc repro`.

    Returns:
        Stage name to final state, called Cached, Restored (from DVC's run cache) or Completed.

    Raises:
        StageError: a stage failed, and nothing after it was started; or DVC cannot read the graph.
    """
    try:
        return _run_pipeline(root)
    except DvcException as error:
        raise StageError(explain(error)) from error


def _run_pipeline(root: Path) -> dict[str, State[Any]]:
    states: dict[Any, State[Any]] = {}
    with closing(Repo(str(root), _wait_for_lock=True)) as repo:
        graph = get_active_graph(repo.index.graph)
        for stage in plan_repro(graph, collect_stages(repo, [str(root / PROJECT_FILE)])):
            upstream = [states[each] for each in graph.successors(stage)]
            states[stage] = state = _task(repo, stage)(return_state=True, wait_for=upstream)
            if not state.is_completed():
                error = state.result(raise_on_failure=False)
                raise error if isinstance(error, DvcException) else StageError(state.message)
    return {_name(stage): state for stage, state in states.items()}


def _name(stage: Any) -> str:
    """Return the stage as `dvc repro` takes it in the root of its project, wherever this process stands."""
    path = Path(stage.path).relative_to(stage.repo.root_dir).as_posix()
    name = getattr(stage, "name", None)  # a .dvc file has none
    return path if name is None else name if path == PROJECT_FILE else f"{path}:{name}"


def _task(repo: Repo, stage: Any) -> Task[[], State[None]]:
    name = _name(stage)

    def run() -> State[None]:
        logger = get_run_logger()
        with repo.lock:
            changed = stage.changed()
        if not changed:
            logger.info("up to date")
            return Completed(name="Cached")
        logger.info("running")
        command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", name]
        lines: deque[str] = deque(maxlen=50)
        with _process(command, Path(repo.root_dir)) as process:
            for line in _lines(process):
                lines.append(line)
                logger.info("%s", line)
        if process.returncode != 0:
            return Failed(message=_explain(lines))
        restored = any(_RESTORED in line for line in lines)
        return Completed(name="Restored" if restored else None)

    return Task(run, name=name, task_run_name=name, cache_policy=NO_CACHE, persist_result=False)


@contextmanager
def _process(command: Sequence[str], cwd: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start `command` as the head of its own process group; the group does not outlive an exception."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    env = os.environ | {"PATH": path, "PYTHONUNBUFFERED": "1", "DVC_NO_ANALYTICS": "1"}
    process = subprocess.Popen(
        command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        yield process
        process.wait()
    except BaseException:
        _end_group(process)
        raise


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End the whole process group. SIGINT first: at a SIGTERM, DVC dies without releasing its locks."""
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            os.killpg(process.pid, number)
            deadline = time.monotonic() + GRACE_SECONDS
            while time.monotonic() < deadline:
                process.poll()  # reaps the head: a zombie still counts as a member of the group
                os.killpg(process.pid, 0)
                time.sleep(0.05)
    except ProcessLookupError:
        pass  # the group is empty
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _lines(process: subprocess.Popen[bytes]) -> Iterator[str]:
    """Yield the lines of the output as they come; of a progress bar only how it ended."""
    assert process.stdout is not None
    with TextIOWrapper(process.stdout, encoding="utf-8", errors="replace", newline="\n") as stream:
        lines = (line.rstrip("\r\n").rpartition("\r")[2] for line in stream)
        yield from filter(str.strip, takewhile(lambda line: line != _GIT_HINT, lines))
        for _ in stream:  # what DVC says after its hint, so that the pipe never fills
            pass


def _explain(lines: Sequence[str]) -> str:
    """Return the stage's own `error: ...` lines, or the end of its output if it said none."""
    said = own_error(lines) or "\n".join([*lines][-5:])
    return f"{said}; run: dvc pull" if "missing data 'source'" in said else said
