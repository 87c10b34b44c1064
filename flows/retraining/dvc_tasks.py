"""DVC's stages as Prefect tasks: every node of DVC's graph becomes one task of the same name.

Guarantees:

- Stages, their order and what is up to date come from DVC: `dvc.lock` is byte-equal to that of `dvc repro`.
- A stage that fails shows its own error.
- What a stage computed is pushed to DVC's default remote when the stage ends; what another clone computed
  comes from there (`bertline.project.remote`).
- An error, Ctrl-C or a cancellation from the UI ends the stage's processes together with the flow; so does
  `flow.timeouts` of params.yaml.

Does not run stages side by side. What outlives a `kill -9` of the flow itself, the next run ends.
"""

import subprocess
from collections import deque
from contextlib import closing
from pathlib import Path
from typing import Any

from dvc.dvcfile import PROJECT_FILE
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.repo.reproduce import get_active_graph, plan_repro
from prefect import State, Task
from prefect.cache_policies import NO_CACHE
from prefect.context import TaskRunContext
from prefect.states import Completed, Failed

from bertline.core.params_loading import PARAMS_FILE, load_params
from bertline.params.flow import Params
from bertline.project.dvc import StageError, explain, reproducing
from bertline.project.dvc_locks import wait_for_dvc
from bertline.project.processes import output_lines
from bertline.project.remote import Sharing
from flows.logs import run_logger
from flows.retraining.progress import shown_progress

_TOO_LONG = (
    "{name} ran longer than flow.timeouts.{name} ({seconds:g} s); look at its last lines, "
    "or raise the limit in params.yaml; a training continues from its checkpoint"
)


def require_stage(root: Path, name: str) -> None:
    """Raise a ValueError if DVC's map has no stage called `name`; an empty name asks for none."""
    if not name:
        return
    try:
        with closing(Repo(str(root))) as repo:
            names = [_name(stage) for stage in _nodes(repo)]
    except DvcException as error:
        raise StageError(explain(error)) from error
    if name not in names:
        raise ValueError(f"there is no stage {name!r} in dvc.yaml; there are: {', '.join(names)}")


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
    try:
        return _run_pipeline(root, until, force=force)
    except DvcException as error:
        raise StageError(explain(error)) from error


def _run_pipeline(root: Path, until: str, *, force: bool) -> dict[str, State[Any]]:
    states: dict[Any, State[Any]] = {}
    params = load_params(Params, root / PARAMS_FILE)
    with closing(Repo(str(root), _wait_for_lock=True)) as repo:
        sharing = Sharing(repo, run_logger().warning)
        graph = get_active_graph(repo.index.graph)
        wanted = [stage for stage in _nodes(repo) if until in ("", _name(stage))]
        for stage in plan_repro(graph, wanted):
            upstream = [states[each] for each in graph.successors(stage)]
            wait_for_dvc(root, wait=params.wait, say=run_logger().info)  # by hand, too: it has begun
            task = _task(sharing, stage, force=force, seconds=params.timeouts.get(_name(stage)))
            states[stage] = state = task(return_state=True, wait_for=upstream)
            if not state.is_completed():
                error = state.result(raise_on_failure=False)
                if isinstance(error, DvcException | StageError):
                    raise error
                raise StageError(state.message or "")
    return {_name(stage): state for stage, state in states.items()}


def _nodes(repo: Repo) -> list[Any]:
    """Return the nodes of the map: stages, and data that a .dvc file names."""
    map_ = str(Path(repo.root_dir, PROJECT_FILE))
    wanted = [stage for stage in repo.index.stages if stage.path == map_]
    return list(plan_repro(get_active_graph(repo.index.graph), wanted))


def _name(stage: Any) -> str:
    """Return the stage as `dvc repro` takes it in the root of its project, wherever this process stands."""
    path = Path(stage.path).relative_to(stage.repo.root_dir).as_posix()
    name = getattr(stage, "name", None)  # a .dvc file has none
    return path if name is None else name if path == PROJECT_FILE else f"{path}:{name}"


def _saved(how: str) -> State[None]:
    """Return the state `how` of a stage that did not run; the graph of Prefect's UI shows it in the name."""
    context = TaskRunContext.get()
    assert context
    context.task_run.name += f" ({how.lower()})"
    return Completed(name=how)


def _task(sharing: Sharing, stage: Any, *, force: bool, seconds: float | None) -> Task[[], State[None]]:
    def run() -> State[None]:
        return _bring_up_to_date(sharing, stage, force=force and bool(stage.cmd), seconds=seconds)

    name = _name(stage)
    return Task(run, name=name, task_run_name=name, cache_policy=NO_CACHE, persist_result=False)


def _bring_up_to_date(sharing: Sharing, stage: Any, *, force: bool, seconds: float | None) -> State[None]:
    name, logger = _name(stage), run_logger()
    with stage.repo.lock:
        changed = stage.changed()
    if not (changed or force):
        logger.info("up to date")
        sharing.push(stage, ran=False)
        return _saved("Cached")
    logger.info("running")
    lines: deque[str] = deque(maxlen=50)
    try:
        with (
            shown_progress(name) as environment,
            reproducing(
                Path(stage.repo.root_dir),
                name,
                single_item=True,
                force=force,
                offline=sharing.offline,
                environment=environment,
                seconds=seconds,
            ) as reproduction,
        ):
            for line in output_lines(reproduction.process):
                lines.append(line)
                logger.info("%s", line)
    except subprocess.TimeoutExpired:
        return _failed(StageError(_TOO_LONG.format(name=name, seconds=seconds)))
    outcome, status = reproduction.outcome, reproduction.process.returncode
    if outcome.unreachable:
        sharing.give_up(outcome.unreachable)
    if status != 0:
        return _failed(outcome.error([*lines], running=name, status=status))
    sharing.push(stage, ran=True)
    if outcome.restored:
        return _saved("Restored")
    return Completed() if outcome.ran else _saved("Cached")  # another DVC has run it meanwhile


def _failed(error: StageError) -> State[None]:
    return Failed(message=str(error), data=error)
