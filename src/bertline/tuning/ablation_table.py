"""The ablation runs as a table: the effect of each technique on validation, its cost, and a verdict."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bertline.tuning.ablation import BASE, METRICS, AblationRuns
from bertline.tuning.paired_difference import CONFIDENCE, PairedDifference
from bertline.tuning.techniques import Technique
from bertline.tuning.yaml_edit import spell


@dataclass(frozen=True)
class Row:
    """The effect of a technique: `differences` to the params as they are, in shares of 1, by metric.

    Minutes are those of one run on this machine; None where no run was timed.
    """

    technique: Technique
    differences: dict[str, PairedDifference]
    minutes: float | None
    base_minutes: float | None

    @classmethod
    def read(cls, runs: AblationRuns, technique: Technique, seeds: int) -> "Row | None":
        """Return the row of `technique`; None before a first seed of it is finished."""
        differences = {metric: runs.difference(technique, seeds, metric) for metric in METRICS}
        known = {metric: difference for metric, difference in differences.items() if difference is not None}
        if not known:
            return None
        return cls(technique, known, runs.minutes(technique, seeds), runs.minutes(BASE, seeds))

    @property
    def cost(self) -> float | None:
        """The minutes of a run, relative to the params as they are."""
        return self.minutes / self.base_minutes if self.minutes and self.base_minutes else None

    @property
    def difference_per_minute(self) -> float | None:
        """The difference in macro-F1, divided by the minutes of a run."""
        return self.differences["macro_f1"].mean / self.minutes if self.minutes else None


def text(rows: Sequence[Row], seeds: int) -> str:
    """Return the table for people, in points: hundredths of a score."""
    head = ("technique", "macro-F1, points", "accuracy, points", "minutes", "x base", "points/min", "verdict")
    lines = [head]
    for row in rows:
        difference, accuracy = row.differences["macro_f1"], row.differences["accuracy"]
        rate = row.difference_per_minute
        lines.append(
            (
                row.technique.name,
                _interval(difference),
                _interval(accuracy),
                _number(row.minutes, ".1f"),
                _number(row.cost, ".2f"),
                _number(None if rate is None else 100 * rate, "+.2f"),
                difference.verdict,
            )
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    shown = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
    return "\n".join([*shown, _notes(len(rows), seeds)])


def write_csv(rows: Sequence[Row], path: Path) -> None:
    """Write the table for machines; an empty cell: not known."""
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        differences = [f"{metric}_{part}" for metric in METRICS for part in ("difference", "low", "high")]
        writer = csv.writer(file)
        writer.writerow(
            ["technique", "changes", *differences, "minutes", "cost", "difference_per_minute", "verdict"]
        )
        for row in rows:
            numbers = [x for metric in METRICS for x in _finite(row.differences[metric])]
            changes = "; ".join(f"{key}: {spell(value)}" for key, value in row.technique.changes.items())
            costs = [row.minutes, row.cost, row.difference_per_minute]
            writer.writerow(
                [row.technique.name, changes, *numbers, *costs, row.differences["macro_f1"].verdict]
            )


def _notes(techniques: int, seeds: int) -> str:
    chance = (1 - CONFIDENCE) * techniques
    notes = [
        f"Differences to params.yaml as it is, on validation; {CONFIDENCE:.0%} t intervals, paired seeds.",
        f"If none of the {techniques} had an effect, {chance:.1f} would seem to help or hurt by chance.",
        "The best epoch is chosen on the same rows, which flatters runs with more epochs or restarts.",
    ]
    if seeds == 1:
        notes.append("One seed shows nothing; give --seeds 3 or more.")
    return "\n".join(notes)


def _interval(difference: PairedDifference) -> str:
    low, high = (
        f"{100 * end:+.1f}" if math.isfinite(end) else "?" for end in (difference.low, difference.high)
    )
    return f"{100 * difference.mean:+.1f} [{low}, {high}]"


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _finite(difference: PairedDifference) -> list[float | None]:
    return [
        value if math.isfinite(value) else None
        for value in (difference.mean, difference.low, difference.high)
    ]
