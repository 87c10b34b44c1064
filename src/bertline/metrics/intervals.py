"""Confidence intervals over rows: Wilson's for accuracy, the percentile bootstrap's for all else.

- Accuracy is a share of rows. Near 1 its bootstrap interval is too narrow: for rows that are all correct it
  would be [1, 1].
- The bootstrap draws cells, not rows. Rows with the same target and prediction are interchangeable, so one
  resample of N rows is one multinomial draw of N over the distinct cells. This is exact, and its cost does
  not grow with N.
- A bootstrap cannot show what no row shows: rows that are all correct give [1, 1], however few they are. So
  each end lies at least as far from the value as the Clopper-Pearson bound for 0 events in N rows,
  1 - ((1 - confidence) / 2) ** (1 / N), about 3.7 / N at 95 %. Where more than about four rows are wrong, or
  differ between two models, the bootstrap's own ends lie further out, and nothing changes.
- Where there are more than 20,000 distinct cells, as with several labels a row, blocks of rows are drawn
  instead (`blocks.py`). So a million rows take seconds.

The intervals are about other test rows from the same source. They say nothing about another training seed or
about drift. With few rows of a class those of macro-F1 are too narrow: where the rarest class had three rows
on average, 95 % intervals held the truth in 89 % of simulations; where it had one or two, in 68 %.

Sources: Wilson, Journal of the American Statistical Association 22 (1927); Efron & Tibshirani, An
Introduction to the Bootstrap (1993), chapters 13 and 16; Clopper & Pearson, Biometrika 26 (1934), for no
event in N, whose one-sided form is the rule of three of Hanley & Lippman-Hand, JAMA 249 (1983).
"""

from dataclasses import dataclass
from typing import Any, Literal, TypedDict, Unpack

import numpy as np
import numpy.typing as npt

from bertline.metrics.blocks import BLOCKS, block_sums, draw_units
from bertline.metrics.classification import ClassCounts, Floats, Targets, correct_rows
from bertline.metrics.count_scores import SEVERAL, SIGNED, SINGLE, Score, Totals

Metric = Literal["accuracy", "macro_f1"]

Integers = npt.NDArray[np.integer]

_NUMBERS_AT_ONCE = 4_000_000  # resamples are drawn in chunks of at most this many numbers


@dataclass(frozen=True)
class Interval:
    """A metric on the rows as they are, and the two ends of its confidence interval."""

    value: float
    low: float
    high: float

    def named(self, name: str) -> dict[str, float]:
        """Return the value and the two ends as a report names them: NAME, NAME_low, NAME_high."""
        return {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high}


class Settings(TypedDict):
    """How an interval is estimated: number of resamples, level (0.95 for 95 %), seed of the draws."""

    resamples: int
    confidence: float
    seed: int


def interval(
    expected: Targets,
    predicted: Targets,
    n_classes: int,
    metric: Metric,
    **settings: Unpack[Settings],
) -> Interval:
    """Return `metric` of `predicted` against `expected`, class indices [N] or multi-label [N, C].

    Macro-F1 is the mean F1 of the classes that occur in `expected` (scikit-learn's `f1_score` with
    `labels=np.unique(expected)`), 0 where none does; a resample that misses a rare class averages over the
    others. With several labels a row, accuracy is the share of rows whose labels are all correct.
    """
    if metric == "accuracy":
        return share_interval(correct_rows(expected, predicted), settings["confidence"])
    score: dict[str, Score] = {metric: _scores(expected)[metric]}
    return _bootstrap((expected, predicted), n_classes, score, **settings)[metric]


def count_intervals(
    expected: Targets, predicted: Targets, n_classes: int, **settings: Unpack[Settings]
) -> dict[str, Interval]:
    """Return every score that is made of counts, all from the same resamples; those of `interval` are equal.

    The names are those of `count_scores.SINGLE`, or with several labels a row `count_scores.SEVERAL`.
    """
    found = _bootstrap((expected, predicted), n_classes, _scores(expected), **settings)
    return found | {"accuracy": share_interval(correct_rows(expected, predicted), settings["confidence"])}


def share_interval(which: npt.NDArray[np.bool_], confidence: float) -> Interval:
    """Return the share of rows [N] that are True, with Wilson's interval."""
    from scipy.stats import binomtest  # here, because it takes longer to import than all else to run

    found = binomtest(int(which.sum()), len(which))
    ends = found.proportion_ci(confidence, method="wilson")
    return Interval(float(found.statistic), float(ends.low), float(ends.high))


def wilson_low(right: npt.NDArray[Any], rows: npt.NDArray[Any], confidence: float) -> Floats:
    """Return the lower end of Wilson's interval of each share `right / rows` [...]; `rows` is never 0."""
    from scipy.stats import norm

    z = norm.ppf((1 + confidence) / 2)
    share = right / rows
    spread = z * np.sqrt(share * (1 - share) / rows + z**2 / (4 * rows**2))
    return np.asarray((share + z**2 / (2 * rows) - spread) / (1 + z**2 / rows))


def paired_difference(
    expected: Targets,
    predicted_a: Targets,
    predicted_b: Targets,
    n_classes: int,
    metric: Metric,
    **settings: Unpack[Settings],
) -> Interval:
    """Return `metric` of a minus `metric` of b on the same rows; both see the same resamples."""
    score: dict[str, Score] = {metric: _scores(expected)[metric]}
    return _bootstrap((expected, predicted_a, predicted_b), n_classes, score, **settings)[metric]


def _scores(expected: Targets) -> dict[str, Score]:
    return SEVERAL if expected.ndim == 2 else SINGLE


def _bootstrap(
    rows: tuple[Targets, ...], n_classes: int, scores: dict[str, Score], **settings: Unpack[Settings]
) -> dict[str, Interval]:
    """Return `scores` of the one prediction, or of the first minus the second, each with its interval.

    `rows` is (expected, a) or (expected, a, b). One set of resamples serves all scores.
    """
    assert len(rows[0]) > 0, "no rows to resample"
    units, counts = _units(rows, n_classes, settings["seed"])
    value = _statistics(counts[np.newaxis], units, scores)
    resamples, confidence = settings["resamples"], settings["confidence"]
    draw = np.random.default_rng(settings["seed"])
    chunk = max(1, _NUMBERS_AT_ONCE // (len(counts) + 3 * n_classes))
    found = np.empty((len(scores), resamples))
    for start in range(0, resamples, chunk):
        drawn = _draw(draw, counts, min(chunk, resamples - start))
        found[:, start : start + chunk] = _statistics(drawn, units, scores)
    low, high = np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2], axis=1)
    unseen = 1 - ((1 - confidence) / 2) ** (1 / len(rows[0]))
    ends = {}
    for i, name in enumerate(scores):
        middle = float(value[i, 0])
        least = -1.0 if len(rows) > 2 or name in SIGNED else 0.0
        ends[name] = Interval(
            middle,
            max(min(float(low[i]), middle - unseen), least),
            min(max(float(high[i]), middle + unseen), 1.0),
        )
    return ends


def _draw(draw: np.random.Generator, counts: Integers, size: int) -> Integers:
    """Return how often each of `size` resamples holds each of the K units [R, K]."""
    draws, units = int(counts.sum()), len(counts)
    if draws > units:
        return draw.multinomial(draws, counts / draws, size=size)
    return draw_units(draw, units, size)  # ten times as fast


def _units(rows: tuple[Targets, ...], n_classes: int, seed: int) -> tuple[list[Floats], Integers]:
    """Return what is drawn, and how often the rows hold each of the K units [K].

    By prediction the columns of each unit, [K, 3C + 2]: `_columns` and the number of rows. A unit is a
    distinct cell, as one row, or the sum of a block of rows.
    """
    expected, *predictions = rows
    first, counts = _distinct(rows, n_classes)
    if len(first) <= BLOCKS:
        kept = expected[first]
        return [block_sums(_columns(kept, each[first], n_classes), seed) for each in predictions], counts
    sums = [block_sums(_columns(expected, each, n_classes), seed) for each in predictions]
    return sums, np.ones(BLOCKS, dtype=np.int64)


def _distinct(rows: tuple[Targets, ...], n_classes: int) -> tuple[Integers, Integers]:
    """Return the place of the first row of each distinct cell [K], and how many rows are in each [K]."""
    if rows[0].ndim == 1:
        cells = np.ravel_multi_index(rows, (n_classes,) * len(rows))
        _, first, counts = np.unique(cells, return_index=True, return_counts=True)
    elif len(rows[0]) > BLOCKS:  # to sort label sets takes longer than all else, and nearly all differ
        first = counts = np.ones(len(rows[0]), dtype=np.int64)
    else:
        bits = np.packbits(np.hstack(rows), axis=1)
        _, first, counts = np.unique(bits, axis=0, return_index=True, return_counts=True)
    return first, counts


def _columns(expected: Targets, predicted: Targets, n_classes: int) -> npt.NDArray[np.uint8]:
    """Return [N, 3C + 1]: whether each class is hit, actual, predicted; whether the row is right."""
    if expected.ndim == 1:
        actual, said = (np.eye(n_classes, dtype=np.uint8)[each] for each in (expected, predicted))
    else:
        actual, said = expected.astype(np.uint8), predicted.astype(np.uint8)
    return np.column_stack([actual & said, actual, said, correct_rows(expected, predicted)])


def _statistics(counts: Integers, units: list[Floats], scores: dict[str, Score]) -> Floats:
    """Return the scores [S, R] of R resamples: of the one prediction, or of the first minus the second.

    `counts` [R, K] says how often each resample holds each of the K units.
    """
    weights = counts.astype(np.float64)  # whole numbers: sums are exact in any order that BLAS takes
    found = []
    for columns in units:
        *by_class, right, rows = np.split(weights @ columns, _ends_of(columns), axis=1)
        drawn = Totals(ClassCounts(*by_class), rows[:, 0], right[:, 0])
        found.append(np.stack([score(drawn) for score in scores.values()]))
    return found[0] if len(found) == 1 else found[0] - found[1]


def _ends_of(columns: Floats) -> list[int]:
    n_classes = (columns.shape[1] - 2) // 3
    return [n_classes, 2 * n_classes, 3 * n_classes, 3 * n_classes + 1]
