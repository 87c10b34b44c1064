"""How far probabilities can be trusted: log-loss, calibration error, the bins of a reliability diagram.

Does not recalibrate anything. All functions take `expected` [N] (class indices) and `probabilities` [N, C].
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Integers = npt.NDArray[np.integer]

BINS = 15  # as in Guo et al. 2017


@dataclass(frozen=True, eq=False)
class Reliability:
    """Rows by how sure the model was: one entry per non-empty bin of equal width."""

    rows: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float64]  # mean probability of the predicted class
    accuracy: npt.NDArray[np.float64]


def reliability(expected: Integers, probabilities: Floats, bins: int = BINS) -> Reliability:
    """Group the rows by the probability of their predicted class into `bins` of equal width."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == expected
    # Bins are open below and closed above, as in the paper: 1.0 belongs to the last.
    which = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    rows = np.bincount(which, minlength=bins)
    used = rows > 0
    mean_confidence = np.bincount(which, weights=confidence, minlength=bins)[used] / rows[used]
    accuracy = np.bincount(which, weights=right, minlength=bins)[used] / rows[used]
    return Reliability(rows[used], mean_confidence, accuracy)


def calibration_error(expected: Integers, probabilities: Floats, bins: int = BINS) -> float:
    """Return the expected calibration error: the mean gap of confidence and accuracy, 0 (best) to 1.

    Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017, equation 5.
    """
    binned = reliability(expected, probabilities, bins)
    gaps = np.abs(binned.accuracy - binned.confidence)
    return float((binned.rows * gaps).sum() / binned.rows.sum())


def log_loss(expected: Integers, probabilities: Floats) -> float:
    """Return the mean negative log-likelihood in nats, from 0 (best); a probability of 0 is epsilon."""
    chosen = probabilities[np.arange(len(expected)), expected]
    return float(-np.log(np.maximum(chosen, np.finfo(chosen.dtype).eps), dtype=np.float64).mean())
