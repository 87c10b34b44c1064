"""What a person sees of a training: one progress bar, lines in a log, curves and a summary in files."""

import csv
import json
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from bertline.modeling.history import Epoch, Step, best_epoch

LINES = 20
"""Lines that a whole training leaves in a log."""


def show(events: Iterable[Step | Epoch], total: int, report: Path) -> list[Step | Epoch]:
    """Return the events, and show them while they come.

    As a progress bar of `total` steps in a terminal and some lines elsewhere, and as curves in `report`, so
    that `dvc plots show` draws them after an epoch, once a second at most.
    """
    seen, written = [], 0.0
    with tqdm(total=total, unit="step", disable=None, dynamic_ncols=True) as bar:
        since, examples, rate, at_once = time.monotonic(), 0, 0.0, 0
        for event in events:
            seen.append(event)
            if isinstance(event, Epoch):
                if time.monotonic() - written > 1:  # epochs of an interrupted run come one upon the other
                    write_curves(seen, report)
                    written = time.monotonic()
                scores = (f"{name.replace('_', '-')} {score:.4f}" for name, score in event.scores.items())
                bar.write(
                    f"epoch {event.epoch}: train loss {event.train_loss:.4f}, validation {', '.join(scores)}"
                )
            else:
                if event.micro_batch < at_once:
                    bar.write(
                        f"step {event.step}: memory ran out; computing {event.micro_batch} texts at once"
                    )
                at_once = event.micro_batch
                examples += event.examples
                if (passed := time.monotonic() - since) > 1:  # so that replayed steps do not count for long
                    since, examples, rate = since + passed, 0, examples / passed
                line = f"loss {event.loss:.4f}" + (f", {rate:.0f} examples/s" if rate else "")
                bar.set_postfix_str(line, refresh=False)
                bar.update()
                if bar.disable and event.step % max(1, total // LINES) == 0:
                    print(f"step {event.step} of {total}: {line}", flush=True)
    return seen


def write_curves(events: list[Step | Epoch], folder: Path) -> None:
    """Write steps.csv and epochs.csv, the scores of an epoch as columns validation_NAME."""
    folder.mkdir(parents=True, exist_ok=True)
    steps = [asdict(event) for event in events if isinstance(event, Step)]
    for name, rows in (("steps", steps), ("epochs", [*map(_flat, _epochs(events))])):
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


def write_summary(events: list[Step | Epoch], select_by: str, folder: Path, **facts: object) -> None:
    """Write the numbers of the best epoch to summary.json, with `facts` beside them, and say which it is."""
    best = best_epoch(events, select_by)
    assert best is not None, "at least one epoch is asked for"
    numbers = _flat(best)
    steps = sum(isinstance(event, Step) for event in events)
    summary = {"best_epoch": numbers.pop("epoch"), "steps": steps, **numbers, **facts}
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    print(f"kept epoch {best.epoch} of {len(_epochs(events))}: best {select_by} on validation")


def _epochs(events: list[Step | Epoch]) -> list[Epoch]:
    return [event for event in events if isinstance(event, Epoch)]


def _flat(epoch: Epoch) -> dict[str, float]:
    scores = {f"validation_{name}": score for name, score in epoch.scores.items()}
    return {"epoch": epoch.epoch, "train_loss": epoch.train_loss, **scores}
