"""Sums over blocks of rows, so that the cost of a bootstrap does not grow with the rows.

Rows are dealt to `BLOCKS` blocks at random, and a resample draws blocks instead of rows. A block's sum has as
many rows' variance as it has rows, so the resamples spread as those of rows do: in expectation the same, and
with 20,000 blocks the width of an interval differed by .4 % (`python -m benchmarks.scores`).

Source: Davison & Hinkley, Bootstrap Methods and their Application (1997), section 8.2 (block resampling).
Legend: N rows, B blocks, K numbers of a row.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

BLOCKS = 20_000


def block_sums(values_NK: npt.NDArray[Any], seed: int) -> npt.NDArray[np.float64]:
    """Return the sums [B, K] of the rows of each block, and as the last column its number of rows.

    Up to `BLOCKS` rows, each row is a block.
    """
    rows = len(values_NK)
    if rows <= BLOCKS:
        return np.column_stack([values_NK, np.ones(rows)])
    order_N = np.random.default_rng(seed).permutation(rows)
    sums_BK = np.zeros((BLOCKS, values_NK.shape[1] + 1))
    for start in range(0, rows, BLOCKS):  # one row of each block at a time: no copy of all rows
        dealt = values_NK[order_N[start : start + BLOCKS]]
        sums_BK[: len(dealt), :-1] += dealt
        sums_BK[: len(dealt), -1] += 1
    return sums_BK


def draw_units(draw: np.random.Generator, units: int, resamples: int) -> npt.NDArray[np.int64]:
    """Return how often each of R resamples holds each of the K units [R, K], when it draws K of them."""
    return np.stack(
        [np.bincount(draw.integers(units, size=units), minlength=units) for _ in range(resamples)]
    )
