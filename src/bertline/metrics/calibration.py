"""Measures of trust in probabilities: log-loss, calibration error, the bins of a reliability diagram.

Does not recalibrate anything. All functions take `expected` and `probabilities` [N, C]. Where `expected` is
[N], a class index each, they judge N rows. Where it is multi-label [N, C], they judge N * C answers of
two classes, label or not: most are easy, so the numbers look better than those of single-label models.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bertline.metrics.classification import Targets

Floats = npt.NDArray[np.floating]

BINS = 15  # as in Guo et al. 2017


@dataclass(frozen=True, eq=False)
class Reliability:
    """Rows, or answers, by how sure the model was: one entry per non-empty bin of equal width."""

    rows: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float64]  # mean probability of the predicted class
    accuracy: npt.NDArray[np.float64]


def reliability(expected: Targets, probabilities: Floats, bins: int = BINS) -> Reliability:
    """Group the rows by the probability of their predicted class into `bins` of equal width."""
    expected, probabilities = _single(expected, probabilities)
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == expected
    # Bins are open below and closed above, as in the paper: 1.0 belongs to the last.
    which = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    rows = np.bincount(which, minlength=bins)
    used = rows > 0
    mean_confidence = np.bincount(which, weights=confidence, minlength=bins)[used] / rows[used]
    accuracy = np.bincount(which, weights=right, minlength=bins)[used] / rows[used]
    return Reliability(rows[used], mean_confidence, accuracy)


def calibration_error(expected: Targets, probabilities: Floats, bins: int = BINS) -> float:
    """Return the expected calibration error: the mean gap of confidence and accuracy, 0 (best) to 1.

    Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017, equation 5.
    """
    binned = reliability(expected, probabilities, bins)
    gaps = np.abs(binned.accuracy - binned.confidence)
    return float((binned.rows * gaps).sum() / binned.rows.sum())


def log_loss(expected: Targets, probabilities: Floats) -> float:
    """Return the mean negative log-likelihood in nats, from 0 (best); a probability of 0 is epsilon."""
    expected, probabilities = _single(expected, probabilities)
    chosen = probabilities[np.arange(len(expected)), expected]
    return float(-np.log(np.maximum(chosen, np.finfo(chosen.dtype).eps), dtype=np.float64).mean())


def _single(expected: Targets, probabilities: Floats) -> tuple[Targets, Floats]:
    """Return multi-label [N, C] as single-label [N * C] of two classes: 0 is the label, 1 is not."""
    if expected.ndim == 1:
        return expected, probabilities
    # The label comes first, because a probability of exactly 0.5 predicts it.
    return 1 - expected.ravel(), np.stack([probabilities.ravel(), 1 - probabilities.ravel()], axis=1)
