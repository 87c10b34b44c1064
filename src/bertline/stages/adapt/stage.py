"""Continue the pre-training of the encoder on the training texts, without their labels, if that is asked for.

A killed run continues from its last checkpoint. If nothing is asked for, torch is not even imported.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from bertline.core.params_loading import load_params
from bertline.params.adapt import Params
from bertline.tokens.arrays import read_split
from bertline.tokens.manifest import Manifest
from bertline.training.starting_encoder import find_source, write_facts

if TYPE_CHECKING:
    from bertline.training.session import Session


def adapt(*, tokens: Path, model: Path, report: Path) -> None:
    """Write the encoder and adapted.json to `model`, curves and summary to `report`; or that it is off."""
    params = load_params(Params)
    manifest = Manifest.read(tokens)
    if params.objective == "none":
        _skip(manifest, model, report)
        return
    from bertline.training.session import run_session

    weights = find_source(manifest)

    def train(session: "Session") -> None:
        _pretrain(session, weights, manifest, tokens, params, model)

    run_session("adapt", params, [tokens], report, train)


def _skip(manifest: Manifest, model: Path, report: Path) -> None:
    """Write that the encoder is not adapted."""
    if manifest.own_tokenizer:
        raise ValueError(
            f"tokenize.vocabulary makes token ids that {manifest.weights} has never seen; "
            "set adapt.objective: mlm, so that it learns them"
        )
    write_facts(model, adapted=False)
    report.mkdir(parents=True, exist_ok=True)
    (report / "summary.json").write_text('{"adapted": false}\n', encoding="utf-8")


def _pretrain(
    session: "Session", weights: Path, manifest: Manifest, tokens: Path, params: Params, model: Path
) -> None:
    """Pre-train the encoder of `weights` on `tokens`, and write it to `model`."""
    from bertline.stages.adapt.build import build_pretraining, build_task
    from bertline.training.loop import train
    from bertline.training.lr_schedule import total_steps

    checkpoints = session.open_checkpoints()
    if checkpoints.found:
        session.announce("continuing from the checkpoint of an interrupted run")
    splits = {name: read_split(tokens / f"{name}.arrow") for name in ("train", "validation")}
    learner = build_pretraining(weights, tokens, params)
    task = build_task(learner, splits, tokens, params)
    learner.to(session.device)
    events = session.follow(train(learner, task, params, checkpoints), total_steps(len(task), params))
    if session.world.is_main:
        origin = session.save(learner.base_model, manifest, tokens, model)
        facts = {"objective": params.objective, "fresh": params.fresh, **origin, **session.facts}
        write_facts(model, adapted=True, **facts)
        session.write_report(events, task.select_by, adapted=True)
