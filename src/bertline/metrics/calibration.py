"""Measures of trust in probabilities: log-loss, Brier score, calibration error and what chance makes of it.

All functions take `expected` and `probabilities` [N, C]. Where `expected` is [N], a class index each, they
judge N rows. Where it is multi-label [N, C], they judge N * C answers of two classes, label or not: most are
easy, so the numbers look better than those of single-label models. `temperature.py` fits what mends them.

Bins hold equally many answers (equal mass), but equal confidences share a bin, so no number depends on the
order of the rows. Most answers of a good model lie in the last of many bins of equal width, and then the
calibration error rests on few.

Sources: Guo et al., On Calibration of Modern Neural Networks, ICML 2017; Roelofs et al., Mitigating Bias in
Calibration Error Estimation, AISTATS 2022 (equal mass, and how much of the error chance alone makes).
Legend: N rows, C classes, A answers.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bertline.metrics.classification import THRESHOLD, Targets

Floats = npt.NDArray[np.floating]

BINS = 15  # as in Guo et al. 2017
PARTS_OF_A_BIN = 256
"""Answers of a bin are drawn in at most so many groups of almost equal confidence."""
NUMBERS_AT_ONCE = 4_000_000


@dataclass(frozen=True, eq=False)
class Reliability:
    """Rows, or answers, by how sure the model was: one entry per non-empty bin of equal mass."""

    rows: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float64]  # mean probability of the predicted class
    accuracy: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Floor:
    """The calibration error of perfect probabilities on so many rows: its mean, and what 95 % stay below."""

    mean: float
    high: float


def answers(expected: Targets, probabilities: Floats) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return how sure each answer was, and whether it is right, both [A]: A is N, or multi-label N * C."""
    if expected.ndim == 1:
        return probabilities.max(axis=1), probabilities.argmax(axis=1) == expected
    flat, has = probabilities.ravel(), expected.ravel().astype(bool)
    said = flat >= THRESHOLD
    return np.where(said, flat, 1 - flat), said == has


def bins_of(confidence: Floats, bins: int = BINS) -> npt.NDArray[np.int64]:
    """Return the bin of each answer [A], 0 to `bins` - 1: of equal mass, equal confidences together."""
    if not len(confidence):
        return np.empty(0, dtype=np.int64)
    needed = -(np.arange(1, bins) * -len(confidence) // bins)  # rounded up
    # A confidence is in bin b or higher if at least so many lie below it.
    edges = np.sort(confidence)[needed - 1]
    return np.asarray(np.searchsorted(edges, confidence, side="left"), dtype=np.int64)


def reliability(expected: Targets, probabilities: Floats, bins: int = BINS) -> Reliability:
    """Group the answers by the probability of what was predicted into `bins` of equal mass."""
    confidence, right = answers(expected, probabilities)
    which = bins_of(confidence, bins)
    rows = np.bincount(which, minlength=bins)
    used = rows > 0
    mean_confidence = np.bincount(which, weights=confidence, minlength=bins)[used] / rows[used]
    accuracy = np.bincount(which, weights=right, minlength=bins)[used] / rows[used]
    return Reliability(rows[used], mean_confidence, accuracy)


def calibration_error(expected: Targets, probabilities: Floats, bins: int = BINS) -> float:
    """Return the expected calibration error: the mean gap of confidence and accuracy, 0 (best) to 1."""
    binned = reliability(expected, probabilities, bins)
    gaps = np.abs(binned.accuracy - binned.confidence)
    return float((binned.rows * gaps).sum() / binned.rows.sum())


def calibration_floor(
    probabilities: Floats, *, multi_label: bool, resamples: int, seed: int, bins: int = BINS
) -> Floor:
    """Return the calibration error that `probabilities` show where they are perfect, by simulation.

    Labels are drawn from the probabilities, so each gap is chance. With few rows it is far from 0: a
    calibration error near the floor says nothing against the model.
    """
    nothing = np.zeros(probabilities.shape if multi_label else len(probabilities), dtype=np.int64)
    confidence = np.sort(answers(nothing, probabilities)[0])  # sorted, groups are found ten times as fast
    group = bins_of(confidence, bins * PARTS_OF_A_BIN)
    rows_G = np.bincount(group)
    sure_G = np.bincount(group, weights=confidence)
    used = np.flatnonzero(rows_G)  # up to some 4,000 answers, each is its own group
    rows_G, sure_G = rows_G[used], sure_G[used]
    starts = np.flatnonzero(np.diff(used // PARTS_OF_A_BIN, prepend=-1))
    draw = np.random.default_rng(seed)
    errors = []
    for size in chunks(resamples, NUMBERS_AT_ONCE // len(used)):
        right_RG = draw.binomial(rows_G, np.clip(sure_G / rows_G, 0, 1), size=(size, len(used)))
        gaps = np.add.reduceat(right_RG - sure_G, starts, axis=1)
        errors.append(np.abs(gaps).sum(axis=1) / len(confidence))
    found = np.concatenate(errors)
    return Floor(float(found.mean()), float(np.quantile(found, 0.95)))


def chunks(resamples: int, at_once: int) -> list[int]:
    """Return the sizes of chunks of `at_once` resamples, at least one each."""
    step = max(1, at_once)
    return [min(step, resamples - start) for start in range(0, resamples, step)]


def row_log_losses(expected: Targets, probabilities: Floats) -> npt.NDArray[np.float64]:
    """Return the negative log-likelihood of each row [N] in nats; a probability of 0 is epsilon."""
    if expected.ndim == 1:
        chosen = probabilities[np.arange(len(expected)), expected]
    else:
        chosen = np.where(expected, probabilities, 1 - probabilities)
    losses = -np.log(np.maximum(chosen, np.finfo(chosen.dtype).eps), dtype=np.float64)
    return np.asarray(losses if expected.ndim == 1 else losses.mean(axis=1))


def log_loss(expected: Targets, probabilities: Floats) -> float:
    """Return the mean negative log-likelihood in nats, from 0 (best); a probability of 0 is epsilon."""
    return float(row_log_losses(expected, probabilities).mean())


def row_brier(expected: Targets, probabilities: Floats) -> npt.NDArray[np.float64]:
    """Return the Brier score of each row [N]."""
    if expected.ndim == 2:
        return np.asarray(np.square(probabilities - expected, dtype=np.float64).mean(axis=1))
    squares = np.einsum("nc,nc->n", probabilities, probabilities, dtype=np.float64)
    chosen = probabilities[np.arange(len(expected)), expected]
    scores = squares - 2.0 * chosen + 1
    return np.asarray(scores / 2 if probabilities.shape[1] == 2 else scores)


def brier(expected: Targets, probabilities: Floats) -> float:
    """Return the Brier score, from 0 (best): the mean squared distance of probabilities and truth.

    It adds up over the classes of a row, to 2 at most; of two classes, and of the answers of a multi-label
    row, it is that of one, to 1 at most, as in scikit-learn.
    """
    return float(row_brier(expected, probabilities).mean())
