"""Judge the candidate against the champion and, if the verdict says so, make it the champion.

What the flow and `bertline promote` share. Guarantees: a model that is champion already, was champion, or
was deprecated is not promoted again; what is registered is what the checkout makes; interrupted anywhere, the
next call completes it.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, replace
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dvc.dvcfile import PROJECT_FILE
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.rwlock import RWLockFileCorruptedError

from bertline.params.evaluate import Params as EvaluateParams
from bertline.params.loading import PARAMS_FILE, load_params, read_document
from bertline.params.promote import Params
from bertline.promotion.exclusive import only_run
from bertline.promotion.rebuildable import require_rebuildable, require_taggable
from bertline.promotion.registry import CHAMPION, MODEL, Registry, Version
from bertline.promotion.tags import NAME

if TYPE_CHECKING:
    from bertline.evaluation.predictions import Predictions

PREDICTIONS = Path("data", "predictions")
TEST_ROWS = Path("data", "splits", "test.parquet")
_JUDGED_BY = "evaluate"  # the stage that makes what the candidate is judged by
_JUDGED = Path(".bertline", "judgement.json")
# A judgement is made by these modules of ours.
_CODE = (
    "promotion/decision.py",
    "promotion/scoring.py",
    "evaluation/intervals.py",
    "evaluation/predictions.py",
)


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What is to be done with the candidate, and why."""

    promote: bool
    headline: str
    reasons: str  # one line per gate
    champion: str | None  # the version that is champion now


def require_reproduced(root: Path) -> None:
    """Raise a ValueError unless what the candidate is judged by is up to date, in DVC's own judgement."""
    try:
        with closing(Repo(str(root), _wait_for_lock=True)) as repo, repo.lock:
            stages = repo.stage.collect(f"{root / PROJECT_FILE}:{_JUDGED_BY}", with_deps=True)
            stale = sorted(str(stage.addressing) for stage in stages if stage.changed())
    except DvcException as error:  # also: another process runs a stage now
        raise ValueError(f"cannot tell whether the candidate is up to date: {explain(error)}") from error
    if stale:
        raise ValueError(
            f"the candidate is not up to date (stale: {', '.join(stale)}); run: dvc repro {_JUDGED_BY}"
        )


def explain(error: DvcException) -> str:
    """Return what DVC says, in one line, with the next command."""
    # A dvc that was killed while it wrote down who reads and writes what; all others then refuse to work.
    torn = isinstance(error, RWLockFileCorruptedError)
    return f"{' '.join(str(error).split())}; {'run: rm .dvc/tmp/rwlock' if torn else 'see: dvc status'}"


def own_error(lines: Iterable[str]) -> str:
    """Return the stage's own `error: ...` lines of what `dvc repro` printed; nothing if it has none."""
    own = takewhile(
        lambda line: not line.startswith("ERROR: "),  # from there on DVC speaks, of exit codes
        dropwhile(lambda line: not line.startswith("error: "), lines),
    )
    return "\n".join(own)


def judge(root: Path) -> Judgement:
    """Compare the candidate with the baseline and the champion, on the test rows.

    The pipeline in `root` must be up to date. A judgement is kept in .bertline/ until the candidate, the
    champion, the gates or their code change.

    Raises:
        ValueError: predictions or the champion's model cannot be read.
    """
    registry = Registry(root)
    candidate, champion = registry.candidate(), registry.champion()
    if candidate is None:
        raise ValueError(
            "there is no candidate yet; run: make run (or dvc repro, for the pipeline without promotion)"
        )
    if known := _recognise(registry, candidate, champion):
        name = champion.name if champion else None
        return Judgement(promote=False, headline=f"the candidate is {known}", reasons="", champion=name)
    params = load_params(Params, root / "params.yaml")
    key = _key(root, params, champion)
    path = root / _JUDGED
    with suppress(OSError, ValueError, TypeError, LookupError):  # none yet, or damaged: judge anew
        kept = json.loads(path.read_text("utf-8"))
        if kept["key"] == key:
            return Judgement(**kept["judgement"])
    judgement = _compare(root, registry, params, champion)
    path.parent.mkdir(exist_ok=True)
    whole = path.with_suffix(".new")
    whole.write_text(json.dumps({"key": key, "judgement": asdict(judgement)}, indent=2), "utf-8")
    whole.replace(path)
    return judgement


def _recognise(registry: Registry, candidate: str, champion: Version | None) -> str | None:
    """Say what the candidate is in the registry, if that forbids to promote it."""
    known = registry.holding(candidate)
    if champion in known:
        assert champion
        return f"the champion {champion.name}, bit for bit: nothing to do"
    for version in known:
        if version.deprecated:
            tag = f"'{NAME}@{version.name}!'"
            pushed = f" && git push origin --delete {tag}" if registry.has_remote else ""
            return (
                f"{version.name}, bit for bit, which was deprecated; "
                f"to take that back: git tag --delete {tag}{pushed}"
            )
        if registry.has_reigned(version):
            return (
                f"{version.name}, bit for bit, which was champion before; "
                f"to make it champion again: bertline rollback {version.name}"
            )
    return None


def promote(root: Path, judgement: Judgement) -> Version:
    """Make the candidate the champion: push, save the experiment, register a version, assign the champion.

    Raises:
        ValueError: the checkout is not what made the candidate; or a step failed, and another call goes on
            from there.
    """
    assert judgement.promote, judgement.headline
    require_rebuildable(root)  # again, because the checkout may have been edited while training ran
    require_reproduced(root)
    if judge(root) != judgement:
        raise ValueError("the candidate is not the one that was judged; run the same command again")
    registry = Registry(root)
    registry.push()
    commit = registry.save_experiment(judgement.headline)
    version = registry.register(commit, judgement.reasons)
    registry.assign(version, judgement.reasons)
    return version


def roll_back(root: Path, name: str | None) -> Version:
    """Make the version called `name` champion again; without a name, the one it replaced first.

    So v3 goes to v2, and from there to v1.

    Raises:
        ValueError: there is no such version, its model cannot be fetched, or no tag can be made.
    """
    require_taggable(root)
    with only_run(root):
        return _roll_back(Registry(root), name)


def _roll_back(registry: Registry, name: str | None) -> Version:
    champion = registry.champion()
    if name is None:
        if champion is None:
            raise ValueError("there is no champion, so nothing to roll back; name a version")
        reigns = registry.champions()
        if champion == reigns[0]:
            raise ValueError(f"{champion.name} is the first champion; there is no version before it")
        version = reigns[reigns.index(champion) - 1]
    else:
        version = registry.find(name)
    registry.assign(version, f"rolled back from {champion.name if champion else 'none'}")
    return version


def _key(root: Path, params: Params, champion: Version | None) -> str:
    files = (root / "dvc.lock", *(Path(__file__).parents[1] / path for path in _CODE))
    parts = (repr(params), champion.commit if champion else "", *(path.read_text("utf-8") for path in files))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _answers(root: Path, registry: Registry, champion: Version) -> "Predictions":
    from bertline.promotion.scoring import score

    batches = load_params(EvaluateParams, root / "params.yaml")
    model = registry.fetch(champion)
    try:
        return score(model, root / TEST_ROWS, batches)
    except ValueError as error:  # rows of another kind, e.g. pairs
        raise ValueError(
            f"the champion {champion.name}, with the params of its time, cannot read today's test rows "
            f"({error}); roll back to one that can, or do without: "
            f"gto deprecate {NAME} {champion.name} {CHAMPION}"
        ) from error


def _dealing(params: Mapping[str, Any]) -> list[object]:
    """Return the params that decide which rows are test rows."""
    ingest = params.get("ingest") or {}
    return [params.get("split"), ingest.get("validation_source"), ingest.get("test_source")]


def _compare(root: Path, registry: Registry, params: Params, champion: Version | None) -> Judgement:
    # Here, because these take seconds to import, which a run with nothing to judge should not pay.
    from bertline.evaluation.predictions import read_predictions
    from bertline.promotion.decision import decide

    candidate = read_predictions(root / PREDICTIONS / "candidate.parquet")
    baseline = read_predictions(root / PREDICTIONS / "baseline.parquet")
    champions = _answers(root, registry, champion) if champion else None
    verdict = decide(params, candidate=candidate, baseline=baseline, champion=champions)
    if champion and _dealing(registry.params(champion)) != _dealing(read_document(root / PARAMS_FILE)):
        *others, gate = verdict.gates
        gate = replace(
            gate,
            reason=f"{gate.reason}. The champion was trained on another split, so these rows flatter it",
        )
        verdict = replace(verdict, gates=(*others, gate))
    name = champion.name if champion else None
    rest = f"the {CHAMPION} stays {name}" if name else f"there is still no {CHAMPION}"
    headline = f"promote {MODEL}" if verdict.promote else f"not promoted; {rest}"
    return Judgement(promote=verdict.promote, headline=headline, reasons=verdict.reasons, champion=name)
