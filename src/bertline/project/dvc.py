"""What DVC says of this checkout: its stages, whether they are up to date, and its errors in one line.

Its import of DVC takes 0.3 s: a flow imports this module only where it needs it.
"""

from contextlib import closing
from pathlib import Path
from typing import Any

from dvc.dvcfile import PROJECT_FILE
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.repo.reproduce import get_active_graph, plan_repro
from dvc.rwlock import RWLockFileCorruptedError


def address(stage: Any) -> str:
    """Return the stage as `dvc repro` takes it in the root of its project, wherever this process stands."""
    path = Path(stage.path).relative_to(stage.repo.root_dir).as_posix()
    name = getattr(stage, "name", None)  # a .dvc file has none
    return path if name is None else name if path == PROJECT_FILE else f"{path}:{name}"


def require_stage(root: Path, name: str) -> None:
    """Raise a ValueError if DVC's map has no stage called `name`, or DVC cannot read it."""
    map_ = str(root / PROJECT_FILE)
    try:
        with closing(Repo(str(root))) as repo:
            wanted = [stage for stage in repo.index.stages if stage.path == map_]
            names = [address(stage) for stage in plan_repro(get_active_graph(repo.index.graph), wanted)]
    except DvcException as error:
        raise ValueError(explain(error)) from error
    if name not in names:
        raise ValueError(f"there is no stage {name!r} in dvc.yaml; there are: {', '.join(names)}")


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


def require_reproduced(root: Path, *outputs: Path) -> None:
    """Raise a ValueError unless `outputs` and all before them are up to date, in DVC's own judgement."""
    try:
        with closing(Repo(str(root), _wait_for_lock=True)) as repo, repo.lock:
            makers = {_maker(repo, path) for path in outputs}
            stages = {
                each for maker in makers for each in repo.stage.collect(maker.addressing, with_deps=True)
            }
            stale = sorted(str(each.addressing) for each in stages if each.changed())
    except DvcException as error:  # also: another process runs a stage now
        raise ValueError(f"cannot tell whether the candidate is up to date: {explain(error)}") from error
    if stale:
        raise ValueError(f"the candidate is not up to date (stale: {', '.join(stale)}); run: dvc repro")


def _maker(repo: Repo, path: Path) -> Any:
    """Return the stage that writes `path`, or a folder that holds it."""
    for out in repo.index.outs:
        if Path(repo.root_dir, path).is_relative_to(out.fs_path):
            return out.stage
    raise ValueError(f"no stage of {PROJECT_FILE} writes {path}; see: dvc dag --outs")


def explain(error: BaseException) -> str:
    """Return the message of an error that DVC met with, in one line, with the next command."""
    # A DVC that is killed while it writes its list of readers and writers leaves a file that no DVC can read.
    torn = isinstance(error, RWLockFileCorruptedError)
    return f"{' '.join(str(error).split())}; {'run: rm .dvc/tmp/rwlock' if torn else 'see: dvc status'}"


def missing_data(error: DvcException) -> str:
    """Return the message about data that a .dvc file names and that is not here."""
    return f"{' '.join(str(error).split())}; run: dvc pull"
