"""DVC's stages as Prefect tasks: every node of DVC's graph becomes one task of the same name.

Guarantees:

- DVC plans and runs the stages, in one child process: `dvc.lock` is byte-equal to that of `dvc repro`.
- A stage that fails shows its own error.
- What a stage computed is pushed to DVC's default remote when the stage ends; what another clone computed
  comes from there (`bertline.project.remote`).
- An error, Ctrl-C or a cancellation from the UI ends the stage's processes together with the flow; so does
  `flow.timeouts` of params.yaml.

Does not run stages side by side. What outlives a `kill -9` of the flow itself, the next run ends.
"""

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prefect import State, Task
from prefect.cache_policies import NO_CACHE
from prefect.context import TaskRunContext
from prefect.states import Completed, Failed

from bertline.core.params_loading import PARAMS_FILE, load_params
from bertline.core.progress_file import PROGRESS_FILE
from bertline.params.flow import Params
from bertline.project.reproduction import (
    COMPLETED,
    Began,
    Ended,
    Reproduction,
    Request,
    StageError,
    Told,
    reproducing,
)
from flows.logs import run_logger
from flows.retraining.progress import progress_file, shown_progress

_TOO_LONG = (
    "{name} ran longer than flow.timeouts.{name} ({seconds:g} s); look at its last lines, "
    "or raise the limit in params.yaml; a training continues from its checkpoint"
)


def run_pipeline(root: Path, until: str = "", *, force: bool = False) -> dict[str, State[Any]]:
    """Bring every node of the graph of `root` up to date, in the order of `dvc repro`.

    With `until`, a stage, only that one and those that it depends on. With `force`, stages also run if they
    are up to date or in DVC's run cache.

    Returns:
        Stage name to final state, called Cached, Restored (from DVC's run cache, here or in its remote) or
        Completed.

    Raises:
        StageError: a stage failed, and nothing after it was started; or DVC cannot read the graph.
    """
    params = load_params(Params, root / PARAMS_FILE)
    states: dict[str, State[Any]] = {}
    with progress_file() as progress:
        environment = {PROGRESS_FILE: str(progress)}
        stages = [until] if until else []
        request = Request(stages, force=force, push=True, wait=params.wait, environment=environment)
        with reproducing(root, request) as run:
            pipeline = _Pipeline(run, progress)
            while began := pipeline.next_stage():
                task = pipeline.task(began.stage, params.timeouts.get(began.stage))
                upstream = [states[name] for name in began.upstream]
                states[began.stage] = state = task(return_state=True, wait_for=upstream)
                if not state.is_completed():
                    error = state.result(raise_on_failure=False)
                    raise error if isinstance(error, StageError) else StageError(state.message or "")
        if run.process.returncode != 0:
            raise run.error(pipeline.printed)
    return states


class _Pipeline:
    """The stages that a child process brings up to date; what it tells of each is told by a task."""

    def __init__(self, run: Reproduction, progress: Path) -> None:
        self._run, self._events, self._progress = run, run.events(), progress
        self._lines: deque[str] = deque(maxlen=50)

    @property
    def printed(self) -> list[str]:
        """The last lines of the current stage."""
        return [*self._lines]

    def next_stage(self) -> Began | None:
        """Wait for the beginning of the next stage; None: there is none."""
        self._lines.clear()
        return next((event for event in self._told() if isinstance(event, Began)), None)

    def task(self, name: str, seconds: float | None) -> Task[[], State[None]]:
        """Return the task that follows a stage to its end, within a time limit."""

        def run() -> State[None]:
            return self._follow(name, seconds)

        return Task(run, name=name, task_run_name=name, cache_policy=NO_CACHE, persist_result=False)

    def _follow(self, name: str, seconds: float | None) -> State[None]:
        with shown_progress(name, self._progress), self._run.time_limit(seconds) as is_over:
            ended = next((event for event in self._told() if isinstance(event, Ended)), None)
        if ended:
            return Completed() if ended.how == COMPLETED else _saved(ended.how)
        error = self._run.error(self.printed)
        if is_over.is_set():
            error = StageError(_TOO_LONG.format(name=name, seconds=seconds))
        return Failed(message=str(error), data=error)

    def _told(self) -> Iterator[Began | Ended]:
        """Yield what begins and ends; log all else."""
        for event in self._events:
            if isinstance(event, str):
                self._lines.append(event)
                run_logger().info("%s", event)
            elif isinstance(event, Told):
                (run_logger().warning if event.warning else run_logger().info)("%s", event.line)
            else:
                yield event


def _saved(how: str) -> State[None]:
    """Return the state `how` of a stage that did not run; the graph of Prefect's UI shows it in the name."""
    context = TaskRunContext.get()
    assert context
    context.task_run.name += f" ({how.lower()})"
    return Completed(name=how)
