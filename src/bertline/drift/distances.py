"""Distances between the values of two sets of rows, corrected for chance.

Two sets that are drawn from the same rows differ too, small ones most. So the rows of both are shuffled 99
times, and the largest distance that comes out is what chance explains. A corrected distance is the share of
the rest, as in Cohen's kappa:

    (distance - chance) / (1 - chance), at least 0

Guarantees that without drift a corrected distance exceeds 0 at most once in 100 comparisons, for any
number of rows (a Monte Carlo test: Hope 1968; Phipson & Smyth 2010, "Permutation p-values should never be
zero"). Does not guarantee that few rows show their drift.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

SHUFFLES = 99

Distance = Callable[[np.ndarray, np.ndarray], float]


def encode_bags(bags: Iterable[Sequence[str]]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return the distinct values, the index of each value of all bags, and the size of each bag, [bags]."""
    index: dict[str, int] = {}
    codes: list[int] = []
    sizes = []
    for bag in bags:
        codes += [index.setdefault(value, len(index)) for value in bag]
        sizes.append(len(bag))
    return list(index), np.array(codes, np.int64), np.array(sizes, np.int64)


def beyond_chance(
    codes: np.ndarray, sizes: np.ndarray, before: int, distance: Distance
) -> tuple[float, float, float]:
    """Return the distance corrected for chance, the distance itself, and the one that chance explains.

    `codes` [values] are the values of all rows, end to end; `sizes` [rows] says how many each row has, and
    the first `before` rows are the side before. Whole rows are shuffled: the words of a text hang together.
    """
    kinds = int(codes.max(initial=0)) + 1
    total = np.bincount(codes, minlength=kinds)
    newest = np.arange(len(sizes)) >= before
    draw = np.random.default_rng(0)

    def apart(newest: np.ndarray) -> float:
        after = np.bincount(codes[np.repeat(newest, sizes)], minlength=kinds)
        return distance(_shares(total - after), _shares(after))

    observed = apart(newest)
    chance = max(apart(draw.permutation(newest)) for _ in range(SHUFFLES))
    value = (observed - chance) / (1 - chance) if observed > chance else 0.0
    return round(value, 4), observed, chance


def _shares(counts: np.ndarray) -> np.ndarray:
    return counts / max(int(counts.sum()), 1)


def kolmogorov_smirnov(old: np.ndarray, new: np.ndarray) -> float:
    """Return the largest difference of the two cumulative distributions."""
    return float(np.abs(np.cumsum(old - new)).max())


def total_variation(old: np.ndarray, new: np.ndarray) -> float:
    """Half the sum of the differences: the share of one side that would have to be others to match."""
    return float(np.abs(old - new).sum() / 2)
