"""The progress of a training for people: a progress bar, lines in a log, curves and a summary in files."""

import csv
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from bertline.core.files import write_json
from bertline.core.progress_file import ProgressWriter
from bertline.training.history import Epoch, Step, best_epoch

LINES = 20
"""Lines that a whole training writes to a log."""


def show_progress(events: Iterable[Step | Epoch], total_steps: int, report: Path) -> list[Step | Epoch]:
    """Return all events, and show them while they come.

    - In a terminal as a progress bar of `total_steps` steps, elsewhere as some lines.
    - In the file that whoever started the stage names in the environment.
    - As curves in `report` after an epoch, so that `dvc plots show` draws them; once a second at most.
    """
    seen, written, progress = [], 0.0, ProgressWriter()
    with tqdm(total=total_steps, unit="step", disable=None, dynamic_ncols=True) as bar:
        since, examples, rate, micro_batch = time.monotonic(), 0, 0.0, 0
        for event in events:
            seen.append(event)
            if isinstance(event, Epoch):
                if time.monotonic() - written > 1:  # a resumed run repeats its epochs all at once
                    write_curves(seen, report)
                    written = time.monotonic()
                scores = (f"{name.replace('_', '-')} {score:.4f}" for name, score in event.scores.items())
                bar.write(
                    f"epoch {event.epoch}: train loss {event.train_loss:.4f}, validation {', '.join(scores)}"
                )
            else:
                if event.micro_batch < micro_batch:
                    bar.write(
                        f"step {event.step}: memory ran out; micro-batches of {event.micro_batch} from here"
                    )
                micro_batch = event.micro_batch
                examples += event.examples
                if (passed := time.monotonic() - since) > 1:  # forget replayed steps soon
                    since, examples, rate = since + passed, 0, examples / passed
                line = f"loss {event.loss:.4f}" + (f", {rate:.0f} examples/s" if rate else "")
                bar.set_postfix_str(line, refresh=False)
                bar.update()
                progress.update(event.step, total_steps, event.loss)
                if bar.disable and event.step % max(1, total_steps // LINES) == 0:
                    print(f"step {event.step} of {total_steps}: {line}", flush=True)
    return seen


def write_curves(events: list[Step | Epoch], folder: Path) -> None:
    """Write steps.csv and epochs.csv; the scores of an epoch are columns validation_NAME."""
    folder.mkdir(parents=True, exist_ok=True)
    steps = [asdict(event) for event in events if isinstance(event, Step)]
    for name, rows in (("steps", steps), ("epochs", [*map(_flat, _epochs(events))])):
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


def write_summary(events: list[Step | Epoch], select_by: str, folder: Path, **facts: object) -> None:
    """Write the numbers of the best epoch and `facts` to summary.json, and print which epoch it is."""
    best = best_epoch(events, select_by)
    assert best is not None, "at least one epoch is asked for"
    numbers = _flat(best)
    steps = sum(isinstance(event, Step) for event in events)
    summary = {"best_epoch": numbers.pop("epoch"), "steps": steps, **numbers, **facts}
    write_json(folder / "summary.json", summary)
    print(f"kept epoch {best.epoch} of {len(_epochs(events))}: best {select_by} on validation")


def _epochs(events: list[Step | Epoch]) -> list[Epoch]:
    return [event for event in events if isinstance(event, Epoch)]


def _flat(epoch: Epoch) -> dict[str, float]:
    scores = {f"validation_{name}": score for name, score in epoch.scores.items()}
    return {"epoch": epoch.epoch, "train_loss": epoch.train_loss, **scores}
