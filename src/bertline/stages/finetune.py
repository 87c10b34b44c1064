"""Fine-tune the encoder that the tokens were cut for; a killed run continues from its last checkpoint."""

import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from transformers import PreTrainedModel

import bertline.modeling
from bertline.modeling.activations import disk_bytes
from bertline.modeling.adapted import find_encoder
from bertline.modeling.checkpoints import SCRATCH, Checkpoints, only_training, run_key
from bertline.modeling.distillation import load_teacher
from bertline.modeling.distributed import World, joined
from bertline.modeling.encoder import make_deterministic, pick_device, runtime, save_classifier
from bertline.modeling.finetuning import fine_tune, prepare, teach
from bertline.modeling.history import Epoch, Step, best_epoch
from bertline.modeling.launch import launch
from bertline.modeling.memory import keep_freed_memory
from bertline.modeling.out_of_memory import memory_errors
from bertline.modeling.schedules import steps_of
from bertline.modeling.tokens import Manifest, TokenizedSplit, read_split
from bertline.modeling.training import TrainingDivergedError
from bertline.modeling.unpadded import is_enabled
from bertline.params.finetune import Params
from bertline.params.loading import load_params
from bertline.stages.command import run
from bertline.stages.progress import show, write_curves, write_summary


class Trained(NamedTuple):
    """What one seed led to."""

    seed: int
    best: Epoch
    model: PreTrainedModel
    events: list[Step | Epoch]


def finetune(*, tokens: Path, adapted: Path, teacher: Path, model: Path, report: Path) -> None:
    """Write the fine-tuned model to `model`, and its curves and summary to `report`."""
    params = load_params(Params)
    if launch(params):
        return
    with memory_errors(), joined(params) as world, only_training(SCRATCH / "finetune", world):
        manifest = Manifest.read(tokens)
        keep_freed_memory()
        make_deterministic(params.seed, params.threads)
        facts = runtime(pick_device(params.device)) | {"processes": world.size}
        best = _train(params, manifest, tokens, adapted, teacher, report, facts, world)
        if not world.is_main:
            return
        save_classifier(best.model, tokens, manifest.max_length, model)
        origin = {"weights": manifest.weights, "weights_sha256": manifest.weights_sha256}
        reading = {name: getattr(manifest, name) for name in ("max_length", "long_texts", "stride", "pairs")}
        about = json.dumps(origin | reading | facts, indent=2)
        (model / "bertline.json").write_text(about + "\n", encoding="utf-8")
        write_curves(best.events, report)
        write_summary(best.events, params.select_by, report, seed=best.seed)


def _train(
    params: Params,
    manifest: Manifest,
    tokens: Path,
    adapted: Path,
    teacher: Path,
    report: Path,
    facts: dict[str, str | int],
    world: World,
) -> Trained:
    """Train with every seed that is asked for, and return what is best on validation."""
    encoder = find_encoder(manifest, adapted)
    splits = {name: read_split(tokens / f"{name}.arrow") for name in ("train", "validation")}
    device = pick_device(params.device)
    code = Path(bertline.modeling.__file__).parent
    key = run_key(repr(params), json.dumps(facts), tokens, adapted, teacher, code, Path(__file__))
    world.check_same(key)
    taught = None
    if params.distillation:
        print(f"asking the teacher about {len(splits['train'])} rows", flush=True)
        model = load_teacher(teacher, tokens, manifest.classes, multi_label=manifest.multi_label)
        taught = teach(model, splits["train"], params, device)
    total = steps_of(len(splits["train"]), params)
    best, diverged = None, None
    for seed in range(params.seed, params.seed + params.restarts):
        seeded = replace(params, seed=seed)
        with world.in_turn():
            checkpoints = Checkpoints(key, SCRATCH / "finetune", name=str(seed))
        classifier = prepare(encoder, manifest, seeded, device)
        if world.is_main:
            _announce(checkpoints, classifier, seeded, splits)
        stream = fine_tune(classifier, splits, seeded, checkpoints, taught)
        try:
            events = show(stream, total, report) if world.is_main else list(stream)
        except TrainingDivergedError as error:
            diverged = error
            if world.is_main and params.restarts > 1:
                print(f"seed {seed} is left out: {error}", flush=True)
            continue
        found = best_epoch(events, params.select_by)
        assert found is not None, "at least one epoch is asked for"
        if best is None or found.better_than(best.best, params.select_by):
            best = Trained(seed, found, classifier, events)
    if best is None:
        assert diverged is not None, "a training that led to nothing has diverged"
        raise diverged
    return best


def _announce(
    checkpoints: Checkpoints, classifier: PreTrainedModel, params: Params, splits: dict[str, TokenizedSplit]
) -> None:
    """Print what a person should know of a training that starts."""
    if checkpoints.ended:
        print(f"seed {params.seed} has been trained to its end before")
        return
    if checkpoints.found:
        print("continuing from the checkpoint of an interrupted run")
    if params.unpadded and not is_enabled(classifier):
        print("this encoder cannot run unpadded: texts of like length are padded to the longest")
    if params.cache_activations:
        size = disk_bytes(classifier, splits) / 1e9
        print(f"keeping what the frozen layers say on disk: {size:.2f} GB", flush=True)


if __name__ == "__main__":
    run(finetune)
