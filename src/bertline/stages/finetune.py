"""Fine-tune the encoder that the tokens were cut for; a killed run continues from its last checkpoint."""

import csv
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

import bertline.modeling
from bertline.modeling.checkpoints import Checkpoints, run_key
from bertline.modeling.encoder import (
    build_classifier,
    make_deterministic,
    pick_device,
    runtime,
    save_classifier,
)
from bertline.modeling.strategies import freeze, reinitialize
from bertline.modeling.tokens import Manifest, read_split
from bertline.modeling.training import Epoch, Step, best_epoch, train
from bertline.modeling.weights import find_weights, fingerprint
from bertline.params.finetune import Params as FinetuneParams
from bertline.params.loading import load_params
from bertline.stages.command import run


def finetune(*, tokens: Path, model: Path, report: Path) -> None:
    """Write the fine-tuned model to `model`, and its curves and summary to `report`."""
    params = load_params(FinetuneParams)
    manifest = Manifest.read(tokens)
    weights = find_weights(manifest.weights)
    if fingerprint(weights) != manifest.weights_sha256:
        raise ValueError(
            f"{manifest.weights!r} has changed since it was tokenised; run `dvc repro -f tokenize`"
        )
    splits = {name: read_split(tokens / f"{name}.arrow") for name in ("train", "validation")}
    device = pick_device(params.device)
    make_deterministic(params.seed, params.threads)
    facts = runtime(device)
    code = Path(bertline.modeling.__file__).parent
    checkpoints = Checkpoints(run_key(repr(params), json.dumps(facts), tokens, code, Path(__file__)))
    if checkpoints.found:
        print("continuing from the checkpoint of an interrupted run")
    classifier = build_classifier(weights, manifest.classes)
    reinitialize(classifier, params.reinit_layers)
    freeze(classifier, params.frozen_layers)
    classifier.to(device)

    total = params.epochs * -(-len(splits["train"]) // params.batch_size)
    events = list(_show(train(classifier, splits, params, checkpoints), total))

    save_classifier(classifier, weights, manifest.max_length, model)
    origin = {"weights": manifest.weights, "weights_sha256": manifest.weights_sha256}
    about = {**origin, "max_length": manifest.max_length, **facts}
    (model / "bertline.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    _write_report(events, params, report)


def _show(events: Iterable[Step | Epoch], total: int) -> Iterator[Step | Epoch]:
    """Pass the events on, with a progress bar in a terminal and twenty lines elsewhere."""
    with tqdm(total=total, unit="step", disable=None, dynamic_ncols=True) as bar:
        since, examples = time.monotonic(), 0
        for event in events:
            if isinstance(event, Epoch):
                bar.write(
                    f"epoch {event.epoch}: train loss {event.train_loss:.4f}, "
                    f"validation loss {event.validation_loss:.4f}, "
                    f"accuracy {event.validation_accuracy:.4f}, macro-F1 {event.validation_macro_f1:.4f}"
                )
            else:
                examples += event.examples
                bar.set_postfix(loss=f"{event.loss:.4f}", refresh=False)
                bar.update()
                if bar.disable and event.step % max(1, total // 20) == 0:
                    rate = examples / (time.monotonic() - since)
                    print(
                        f"step {event.step} of {total}: loss {event.loss:.4f}, {rate:.0f} examples/s",
                        flush=True,
                    )
                    since, examples = time.monotonic(), 0
            yield event


def _write_report(events: list[Step | Epoch], params: FinetuneParams, report: Path) -> None:
    report.mkdir(parents=True, exist_ok=True)
    steps = [event for event in events if isinstance(event, Step)]
    epochs = [event for event in events if isinstance(event, Epoch)]
    for name, rows in (("steps", steps), ("epochs", epochs)):
        with (report / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(asdict(rows[0])))
            writer.writeheader()
            writer.writerows(asdict(row) for row in rows)
    best = best_epoch(events, params.select_by)
    assert best is not None, "at least one epoch is asked for"
    summary = {"best_epoch": best.epoch, "steps": len(steps), **asdict(best)}
    del summary["epoch"]
    (report / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    print(f"kept epoch {best.epoch} of {len(epochs)}: best {params.select_by} on validation")


if __name__ == "__main__":
    run(finetune)
