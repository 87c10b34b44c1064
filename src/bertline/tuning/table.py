"""The ablation ledger as a table: what each tip gains on validation, what it costs, and a verdict."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bertline.tuning.editing import spell
from bertline.tuning.gains import CONFIDENCE, Gain
from bertline.tuning.ledger import BASE, METRICS, Ledger
from bertline.tuning.tips import Tip


@dataclass(frozen=True)
class Row:
    """A tip; gains are shares of 1, minutes those of one run on this machine, None where no run was timed."""

    tip: Tip
    gains: dict[str, Gain]
    minutes: float | None
    base_minutes: float | None

    @classmethod
    def read(cls, ledger: Ledger, tip: Tip, seeds: int) -> "Row | None":
        """Return what the ledger says of `tip`; None before a first seed of it is finished."""
        gains = {metric: ledger.gain(tip, seeds, metric) for metric in METRICS}
        known = {metric: gain for metric, gain in gains.items() if gain is not None}
        return cls(tip, known, ledger.minutes(tip, seeds), ledger.minutes(BASE, seeds)) if known else None

    @property
    def cost(self) -> float | None:
        """The minutes of a run, relative to the params as they are."""
        return self.minutes / self.base_minutes if self.minutes and self.base_minutes else None

    @property
    def gain_per_minute(self) -> float | None:
        """Macro-F1 gained by a run, divided by its minutes."""
        return self.gains["macro_f1"].mean / self.minutes if self.minutes else None


def text(rows: Sequence[Row], seeds: int) -> str:
    """Return the table for people, in points: hundredths of a score."""
    head = ("tip", "macro-F1, points", "accuracy, points", "minutes", "x base", "points/min", "verdict")
    lines = [head]
    for row in rows:
        gain, accuracy = row.gains["macro_f1"], row.gains["accuracy"]
        rate = row.gain_per_minute
        lines.append(
            (
                row.tip.name,
                _interval(gain),
                _interval(accuracy),
                _number(row.minutes, ".1f"),
                _number(row.cost, ".2f"),
                _number(None if rate is None else 100 * rate, "+.2f"),
                gain.verdict,
            )
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    shown = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
    return "\n".join([*shown, _notes(len(rows), seeds)])


def write_csv(rows: Sequence[Row], path: Path) -> None:
    """Write the table for machines; an empty cell: not known."""
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        gains = [f"{metric}_{part}" for metric in METRICS for part in ("gain", "low", "high")]
        writer = csv.writer(file)
        writer.writerow(["tip", "changes", *gains, "minutes", "cost", "gain_per_minute", "verdict"])
        for row in rows:
            numbers = [x for metric in METRICS for x in _finite(row.gains[metric])]
            changes = "; ".join(f"{key}: {spell(value)}" for key, value in row.tip.changes.items())
            costs = [row.minutes, row.cost, row.gain_per_minute]
            writer.writerow([row.tip.name, changes, *numbers, *costs, row.gains["macro_f1"].verdict])


def _notes(tips: int, seeds: int) -> str:
    chance = (1 - CONFIDENCE) * tips
    notes = [
        f"Gains on validation over params.yaml as it is; {CONFIDENCE:.0%} intervals over paired seeds (t).",
        f"If none of the {tips} had any effect, {chance:.1f} would be said to help or hurt all the same.",
        "Epochs are chosen on the same rows, which flatters what has more to choose from (epochs, restarts).",
    ]
    if seeds == 1:
        notes.append("One seed shows nothing: give --seeds 3 or more.")
    return "\n".join(notes)


def _interval(gain: Gain) -> str:
    low, high = (f"{100 * end:+.1f}" if math.isfinite(end) else "?" for end in (gain.low, gain.high))
    return f"{100 * gain.mean:+.1f} [{low}, {high}]"


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _finite(gain: Gain) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in (gain.mean, gain.low, gain.high)]
