"""Count how often a comparison of two models names a difference that is none, and finds one that is there.

Two simulated models answer the same rows. Without a difference, both are wrong on 10 % of the rows, half of
them the same. With one, the second model loses 10 points on a slice of 8 % of the rows.

Run: python -m benchmarks.comparison_errors
"""

import numpy as np

from bertline.evaluation.comparison import Pairs, differences
from bertline.metrics.intervals import Settings

ROWS, CLASSES, SLICES, SEEDS = (800, 3000, 10_000), 6, 20, 300
SETTINGS: Settings = {"resamples": 100, "confidence": 0.95, "seed": 1}


def family(rows: int, draw: np.random.Generator, *, planted: bool) -> list[Pairs]:
    """Return the differences by class and slice of two models; the first slice may be worse."""
    wrong = draw.random((3, rows)) < 0.05
    right_a, right_b = ~(wrong[0] | wrong[1]), ~(wrong[0] | wrong[2])
    slices = [draw.random(rows) < share for share in np.geomspace(0.08, 0.5, SLICES)]
    if planted:
        right_b &= ~(slices[0] & (draw.random(rows) < 0.11))
    classes = [draw.integers(CLASSES, size=rows) == each for each in range(CLASSES)]
    return [
        Pairs(kind="slice", group="", name=str(i), measure="accuracy", a=right_a[part], b=right_b[part])
        for i, part in enumerate([*slices, *classes])
    ]


def main() -> None:
    print(f"{SEEDS} comparisons with {SLICES + CLASSES} differences each")
    print(f"{'rows':>7} {'false':>7} {'found':>7}")
    for rows in ROWS:
        false = found = 0
        for seed in range(SEEDS):
            draw = np.random.default_rng(seed)
            nothing = differences(family(rows, draw, planted=False), **SETTINGS)
            false += any(each["verdict"] != "not shown" for each in nothing)
            found += differences(family(rows, draw, planted=True), **SETTINGS)[0]["verdict"] == "worse"
        print(f"{rows:>7,} {false / SEEDS:>7.1%} {found / SEEDS:>7.1%}")


if __name__ == "__main__":
    main()
