"""Compare the candidate with the champion and, if it passes every gate, make it the champion.

The flow and `bertline promote` share it. Guarantees:

- A model that is champion, was champion or was deprecated is not promoted again, also with another card.
- The registered model is the one that this checkout makes.
- Interrupted anywhere, the next call completes the promotion.
"""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from bertline.core.files import content_hash, write_json
from bertline.core.params_loading import PARAMS_FILE, load_params, read_document
from bertline.params.promote import Params
from bertline.project.layout import BASELINE_PREDICTIONS, CANDIDATE, CANDIDATE_PREDICTIONS, SCRATCH
from bertline.registry.conditions import require_rebuildable
from bertline.registry.git_remote import announce
from bertline.registry.registry import Registry
from bertline.registry.tags import NAME
from bertline.registry.versions import CHAMPION, Version

if TYPE_CHECKING:  # they take a while to import, see `_compare`
    from bertline.metrics.predictions import Predictions
    from bertline.promotion.decision import Decision

JUDGED = (CANDIDATE, CANDIDATE_PREDICTIONS, BASELINE_PREDICTIONS)
"""The outputs of the pipeline that a promotion is about."""
_KEPT = SCRATCH / "judgement.json"
_PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True, kw_only=True)
class PromotionDecision:
    """Whether to promote the candidate, and why."""

    verdict: "Decision"
    headline: str
    reasons: str  # one line per gate and per question; empty where nothing was compared
    champion: str | None  # the version that is champion now
    asks: list[str] = field(default_factory=list)  # names of the questions to a person
    champion_scores: dict[str, float] | None = None  # as of the candidate in metrics.json, on the same rows
    comparison: str | None = None  # the page of `bertline compare` on candidate and champion
    no_comparison: str | None = None  # why there is none, though there is a champion

    @property
    def decisive(self) -> list[str]:
        """The reasons that led to the verdict, unless it is to promote."""
        return decisive(self.reasons)

    @property
    def promote(self) -> bool:
        """Whether the candidate becomes the champion without a person's consent."""
        return self.verdict == "promote"


def decisive(reasons: str) -> list[str]:
    """Return those lines of a verdict's reasons that say what failed or is asked, without their marks."""
    lines = [line.split(maxsplit=1) for line in reasons.splitlines()]
    return [line[1] for line in lines if len(line) > 1 and line[0] in ("FAILED", "asks")]


def compare_with_champion(root: Path) -> PromotionDecision:
    """Compare the candidate with the baseline and the champion, on the test rows.

    The pipeline in `root` must be up to date. The decision is kept in .bertline/ until the candidate, the
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
    if known := _why_not_again(registry, candidate, champion):
        name = champion.name if champion else None
        return PromotionDecision(
            verdict="keep", headline=f"the candidate is {known}", reasons="", champion=name
        )
    params = load_params(Params, root / PARAMS_FILE)
    key = _key(root, params, champion)
    path = root / _KEPT
    with suppress(OSError, ValueError, TypeError, LookupError):  # none yet, or damaged: compare again
        kept = json.loads(path.read_text("utf-8"))
        if kept["key"] == key:
            return PromotionDecision(**kept["judgement"])
    decision = _compare(root, registry, params, champion)
    path.parent.mkdir(exist_ok=True)
    write_json(path, {"key": key, "judgement": asdict(decision)})
    return decision


def promote(root: Path, decision: PromotionDecision, *, note: str = "", push: str | None = None) -> Version:
    """Make the candidate the champion: push, save the experiment, register a version, assign the champion.

    The caller has a person's consent where the verdict is `ask`. `note` stands in the version's message. Tags
    that are missing come also from the git remote `push`; `bertline.registry.git_remote` pushes the new ones.
    The commit of the version is made before the push, so that edits during the push are not in it.

    Raises:
        ValueError: the checkout is not what made the candidate; or a step failed, and another call goes on
            from there.
    """
    assert decision.verdict != "keep", decision.headline
    require_rebuildable(root, push)  # again, because the checkout may have been edited while training ran
    from bertline.project.dvc import require_reproduced

    registry = Registry(root)
    # Frozen, then checked, then pushed, which may take long: an edit is refused or is not in it.
    commit = registry.freeze_run(decision.headline)
    require_reproduced(root, *JUDGED)
    if compare_with_champion(root) != decision:
        raise ValueError(
            "the candidate or the champion has changed since they were compared; run the same command again"
        )
    registry.push()
    registry.save_experiment(commit)
    if push:
        announce(root, commit)
    version = registry.register(commit, "\n".join([decision.reasons, *([f"note  {note}"] if note else [])]))
    registry.assign(version, decision.reasons)
    return version


def _why_not_again(registry: Registry, candidate: tuple[str, ...], champion: Version | None) -> str | None:
    """Return what the candidate is in the registry, if that forbids to promote it."""
    known = registry.versions_of(candidate)
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
        if registry.was_champion(version):
            return (
                f"{version.name}, bit for bit, which was champion before; "
                f"to make it champion again: bertline rollback {version.name}"
            )
    return None


def _key(root: Path, params: Params, champion: Version | None) -> str:
    code = (_PACKAGE / name for name in ("comparison", "evaluation", "metrics", "promotion"))
    gates = repr(replace(params, push=None))
    return content_hash(gates, champion.commit if champion else "", root / "dvc.lock", *code)


def _compare(root: Path, registry: Registry, params: Params, champion: Version | None) -> PromotionDecision:
    # Here, because these take seconds to import, which a run with nothing to compare should not pay.
    from bertline.comparison.answers import champion_predictions
    from bertline.comparison.fairness import has_same_split
    from bertline.metrics.predictions import read_predictions
    from bertline.promotion.decision import decide

    theirs = champion_predictions(root, registry, champion) if champion else None
    verdict = decide(
        params,
        candidate=read_predictions(root / CANDIDATE_PREDICTIONS),
        baseline=read_predictions(root / BASELINE_PREDICTIONS),
        champion=theirs,
        same_split=champion is None
        or has_same_split(registry.params(champion), read_document(root / PARAMS_FILE)),
    )
    page, problem = _comparison(root, registry, champion, theirs) if champion and theirs else (None, None)
    name = champion.name if champion else None
    rest = f"the {CHAMPION} stays {name}" if name else f"there is still no {CHAMPION}"
    asks = [question.name for question in verdict.questions]
    accept = " ".join(f"--accept {each}" for each in asks)
    headlines = {
        "promote": f"promote {CANDIDATE}",
        "keep": f"not promoted; {rest}",
        "ask": f"a person must decide; {rest}; to promote it: bertline promote {accept}",
    }
    return PromotionDecision(
        verdict=verdict.decision,
        headline=headlines[verdict.decision],
        reasons=verdict.reasons,
        champion=name,
        asks=asks if verdict.decision == "ask" else [],
        champion_scores=_scores(params, theirs) if theirs else None,
        comparison=page,
        no_comparison=problem,
    )


def _comparison(
    root: Path, registry: Registry, champion: Version, theirs: "Predictions"
) -> tuple[str | None, str | None]:
    """Write the page that compares the candidate with the champion; return its path, or why there is none."""
    from bertline.comparison.compare import compare, write_comparison
    from bertline.comparison.sides import CANDIDATE_NAME, find_side, of_version

    sides = of_version(registry, champion), find_side(registry, CANDIDATE_NAME)
    try:
        document = compare(root, *sides, predictions_a=theirs)
        return write_comparison(root, document).as_posix(), None
    except Exception as error:  # the page informs people; the verdict does not depend on it
        return None, f"{type(error).__name__}: {' '.join(str(error).split())}"


def _scores(params: Params, theirs: "Predictions") -> dict[str, float]:
    from bertline.metrics.intervals import Metric, interval

    scores: dict[str, float] = {}
    for metric in get_args(Metric):
        found = interval(
            theirs.expected,
            theirs.predicted,
            len(theirs.classes),
            metric,
            resamples=params.resamples,
            confidence=params.confidence,
            seed=params.seed,
        )
        scores |= found.named(metric)
    return scores
