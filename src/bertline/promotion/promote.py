"""Judge the candidate against the champion and, if the verdict says so, make it the champion.

What the flow and `bertline promote` share. Guarantees: a model that is champion already, or was replaced as
one, is not promoted again; interrupted anywhere, the next call completes it.
"""

import hashlib
import json
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from dvc.exceptions import DvcException
from dvc.repo import Repo

from bertline.params.evaluate import Params as EvaluateParams
from bertline.params.loading import load_params
from bertline.params.promote import Params
from bertline.promotion.registry import CHAMPION, MODEL, Registry, Version

PREDICTIONS = Path("data", "predictions")
TEST_ROWS = Path("data", "splits", "test.parquet")
_JUDGED = Path(".bertline", "judgement.json")


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What is to be done with the candidate, and why."""

    promote: bool
    headline: str
    reasons: str  # one line per gate
    champion: str | None  # the version that is champion now


def require_reproduced(root: Path) -> None:
    """Raise a ValueError unless the pipeline in `root` is up to date, by DVC's own judgement."""
    try:
        with closing(Repo(str(root), _wait_for_lock=True)) as repo, repo.lock:
            stale = sorted(str(stage.addressing) for stage in repo.index.stages if stage.changed())
    except DvcException as error:  # also: another process runs a stage now
        raise ValueError(
            f"cannot tell whether the candidate is up to date: {error}; see: dvc status"
        ) from error
    if stale:
        raise ValueError(f"the candidate is not up to date (stale: {', '.join(stale)}); run: dvc repro")


def judge(root: Path) -> Judgement:
    """Compare the candidate with the baseline and the champion, on the test rows.

    The pipeline in `root` must be up to date. A judgement is kept in .bertline/ until the candidate, the
    champion or the gates change.

    Raises:
        ValueError: predictions or the champion's model cannot be read.
    """
    registry = Registry(root)
    candidate, champion = registry.candidate(), registry.champion()
    if candidate is None:
        raise ValueError(
            "there is no candidate yet; run: make run (or dvc repro, for the pipeline without promotion)"
        )
    known = registry.holding(candidate)
    if champion in known:
        assert champion
        headline = f"the candidate is the champion {champion.name}, bit for bit: nothing to do"
        return Judgement(promote=False, headline=headline, reasons=champion.reasons, champion=champion.name)
    former = next((each for each in registry.champions() if each in known), None)
    if former:
        assert champion
        headline = (
            f"the candidate is {former.name}, bit for bit, which {champion.name} replaced; "
            f"to make it champion again: bertline rollback {former.name}"
        )
        return Judgement(promote=False, headline=headline, reasons=former.reasons, champion=champion.name)

    params = load_params(Params, root / "params.yaml")
    key = _key(root, params, champion)
    path = root / _JUDGED
    if path.exists() and (kept := json.loads(path.read_text("utf-8"))).pop("key") == key:
        return Judgement(**kept)
    judgement = _compare(root, registry, params, champion)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"key": key, **asdict(judgement)}, indent=2), "utf-8")
    return judgement


def promote(root: Path, judgement: Judgement) -> Version:
    """Make the candidate the champion: push, save the experiment, register a version, assign the champion.

    Raises:
        ValueError: a step failed; the ones before it are kept, and another call goes on from there.
    """
    assert judgement.promote, judgement.headline
    registry = Registry(root)
    registry.push()
    commit = registry.save_experiment(judgement.headline)
    version = registry.register(commit, judgement.reasons)
    registry.assign(version, judgement.reasons)
    return version


def roll_back(root: Path, name: str | None) -> Version:
    """Make the version called `name` champion again; without a name, the one that was before the current.

    Raises:
        ValueError: there is no such version, or its model cannot be fetched.
    """
    registry = Registry(root)
    champion = registry.champion()
    if champion is None:
        raise ValueError("there is no champion yet, so nothing to roll back")
    if name is None:
        former = [each for each in registry.champions() if each != champion]
        if not former:
            raise ValueError(f"{champion.name} is the first champion; there is no version before it")
        version = former[-1]
    else:
        version = registry.find(name)
    registry.assign(version, f"rolled back from {champion.name}")
    return version


def _key(root: Path, params: Params, champion: Version | None) -> str:
    parts = (repr(params), champion.commit if champion else "", (root / "dvc.lock").read_text("utf-8"))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _compare(root: Path, registry: Registry, params: Params, champion: Version | None) -> Judgement:
    # Here, because these take seconds to import, which a run with nothing to judge should not pay.
    from bertline.evaluation.predictions import read_predictions
    from bertline.promotion.decision import decide

    candidate = read_predictions(root / PREDICTIONS / "candidate.parquet")
    baseline = read_predictions(root / PREDICTIONS / "baseline.parquet")
    champions = None
    if champion:
        from bertline.promotion.scoring import score

        batches = load_params(EvaluateParams, root / "params.yaml")
        champions = score(registry.fetch(champion), root / TEST_ROWS, batches)
    verdict = decide(params, candidate=candidate, baseline=baseline, champion=champions)
    name = champion.name if champion else None
    rest = f"the {CHAMPION} stays {name}" if name else f"there is still no {CHAMPION}"
    headline = f"promote {MODEL}" if verdict.promote else f"not promoted; {rest}"
    return Judgement(promote=verdict.promote, headline=headline, reasons=verdict.reasons, champion=name)
