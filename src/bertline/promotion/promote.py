"""Judge the candidate against the champion and, if the verdict says so, make it the champion.

What the flow and `bertline promote` share. Guarantees: a model that is champion already, or was replaced as
one, is not promoted again; what is registered is what the checkout makes; interrupted anywhere, the next
call completes it.
"""

import hashlib
import json
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from dvc.exceptions import DvcException
from dvc.repo import Repo

from bertline.params.evaluate import Params as EvaluateParams
from bertline.params.loading import PARAMS_FILE, load_params, read_document
from bertline.params.promote import Params
from bertline.promotion.exclusive import only_run
from bertline.promotion.rebuildable import require_rebuildable, require_taggable
from bertline.promotion.registry import CHAMPION, MODEL, Registry, Version

PREDICTIONS = Path("data", "predictions")
TEST_ROWS = Path("data", "splits", "test.parquet")
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
    if champion is None:
        raise ValueError("there is no champion yet, so nothing to roll back")
    if name is None:
        reigns = registry.champions()
        if champion == reigns[0]:
            raise ValueError(f"{champion.name} is the first champion; there is no version before it")
        version = reigns[reigns.index(champion) - 1]
    else:
        version = registry.find(name)
    registry.assign(version, f"rolled back from {champion.name}")
    return version


def _key(root: Path, params: Params, champion: Version | None) -> str:
    files = (root / "dvc.lock", *(Path(__file__).parents[1] / path for path in _CODE))
    parts = (repr(params), champion.commit if champion else "", *(path.read_text("utf-8") for path in files))
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
    if champion and registry.params(champion).get("split") != read_document(root / PARAMS_FILE).get("split"):
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
