"""Continue the pre-training of the encoder on the training texts, without their labels, if that is asked for.

A killed run continues from its last checkpoint. Where there is nothing to do, torch is not even imported.
"""

import json
from pathlib import Path

from bertline.modeling.adapted import find_source, write_facts
from bertline.modeling.tokens import Manifest, read_split
from bertline.params.adapt import Params
from bertline.params.loading import load_params
from bertline.stages.command import run


def adapt(*, tokens: Path, model: Path, report: Path) -> None:
    """Write the encoder and adapted.json to `model`, curves and summary to `report`; or that it is off."""
    params = load_params(Params)
    manifest = Manifest.read(tokens)
    if params.objective != "none":
        _pretrain(find_source(manifest), tokens, manifest, params, model, report)
        return
    if manifest.own_tokenizer:
        raise ValueError(
            f"tokenize.vocabulary makes token ids that {manifest.weights} has never seen; "
            "set adapt.objective: mlm, so that it learns them"
        )
    write_facts(model, adapted=False)
    report.mkdir(parents=True, exist_ok=True)
    (report / "summary.json").write_text('{"adapted": false}\n', encoding="utf-8")


def _pretrain(
    weights: Path, tokens: Path, manifest: Manifest, params: Params, model: Path, report: Path
) -> None:
    from bertline.modeling.launch import launch

    if launch(params):
        return
    import bertline.modeling
    from bertline.modeling.adapting import build_pretraining, build_task
    from bertline.modeling.checkpoints import SCRATCH, Checkpoints, only_training, run_key
    from bertline.modeling.distributed import joined
    from bertline.modeling.encoder import make_deterministic, pick_device, runtime, save_classifier
    from bertline.modeling.memory import keep_freed_memory
    from bertline.modeling.out_of_memory import memory_errors
    from bertline.modeling.schedules import steps_of
    from bertline.modeling.training import train
    from bertline.stages.progress import show, write_curves, write_summary

    splits = {name: read_split(tokens / f"{name}.arrow") for name in ("train", "validation")}
    with memory_errors(), joined(params) as world, only_training(SCRATCH / "adapt", world):
        device = pick_device(params.device)
        keep_freed_memory()
        make_deterministic(params.seed, params.threads)
        facts = runtime(device) | {"processes": world.size}
        code = Path(bertline.modeling.__file__).parent
        key = run_key(repr(params), json.dumps(facts), tokens, code, Path(__file__))
        world.check_same(key)
        with world.in_turn():
            checkpoints = Checkpoints(key, SCRATCH / "adapt")
        if world.is_main and checkpoints.found:
            print("continuing from the checkpoint of an interrupted run")
        learner = build_pretraining(weights, tokens, params)
        task = build_task(learner, splits, tokens, params)
        learner.to(device)
        stream = train(learner, task, params, checkpoints)
        events = show(stream, steps_of(len(task), params), report) if world.is_main else list(stream)
        if not world.is_main:
            return
        save_classifier(learner.base_model, tokens, manifest.max_length, model)
        origin = {"weights": manifest.weights, "weights_sha256": manifest.weights_sha256}
        write_facts(model, adapted=True, objective=params.objective, fresh=params.fresh, **origin, **facts)
        write_curves(events, report)
        write_summary(events, task.select_by, report, adapted=True)


if __name__ == "__main__":
    run(adapt)
