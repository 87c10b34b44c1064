"""Out-of-scope scores: how little a text resembles those that a classifier was trained on.

`fit` makes the statistics that the Mahalanobis distance needs (Podolskiy et al., Revisiting Mahalanobis
Distance for Transformer-Based Out-of-Domain Detection, 2021), and `score` computes any of the scores. A
higher score means more out of scope; only the order of the scores has a meaning. No threshold is set here.

- The logits are calibrated, that is, divided by a temperature. The energy of Liu et al. (2020) has a
  temperature of its own: here it is this one.
- With several labels a row, a text that has none of them is in scope. The energy alone cannot see that.

Does not guarantee anything about texts that differ from the training texts in what the classifier ignores.
Imports no torch. Shape suffixes: N rows, C classes, H width of the states, K means.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from threadpoolctl import threadpool_limits

from bertline.core.files import disk_errors, replacing

FILE = "out_of_scope.safetensors"
Kind = Literal["mahalanobis", "energy", "max_probability"]

DEFAULT_SCORE: Kind = "mahalanobis"
"""Finds most of the texts of classes that were left out of a training (benchmarks/out_of_scope.py)."""

MAX_MEANS = 1000
"""Sets of labels that get a mean of their own, where a row has several labels."""

MIN_SHRINKAGE = 1e-6
"""Keeps a covariance invertible whose rows are too few or too equal for an estimate of the shrinkage."""

_ROWS = 8192  # that are scored at once: their states and distances fit into the cache of a core

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Statistics:
    """What the Mahalanobis distance needs, so that it is a Euclidean one: float32 and finite.

    `center_H`: the mean of the states. `whitening_HH`: makes the shared covariance of the centred states
    the identity, by `states @ whitening`. `means_KH`: the whitened means of the classes.
    """

    center_H: Floats
    whitening_HH: Floats
    means_KH: Floats

    def save(self, folder: Path) -> None:
        """Write `folder/out_of_scope.safetensors`; equal statistics are equal bytes."""
        with replacing(folder / FILE) as new, disk_errors():
            save_file({each.name: getattr(self, each.name) for each in fields(self)}, new)

    @classmethod
    def load(cls, folder: Path) -> "Statistics | None":
        """Return what `save` wrote to `folder`; None where there is no such file.

        Raises:
            ValueError: the file is damaged.
        """
        path = folder / FILE
        if not path.is_file():
            return None
        try:
            statistics = cls(**load_file(path))
            width = len(statistics.center_H)
            shapes = [getattr(statistics, each.name).shape for each in fields(cls)]
            if shapes != [(width,), (width, width), (len(statistics.means_KH), width)]:
                raise ValueError(f"shapes {shapes}")
        except (SafetensorError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is damaged ({error}); fetch or train the model again") from None
        return statistics


def fit(
    states_NH: npt.NDArray[np.floating], targets: npt.NDArray[np.integer], shrinkage: float | None = None
) -> Statistics:
    """Return the statistics of training rows, the same bits whatever the number of threads.

    Args:
        states_NH: of the rows.
        targets: the class of each row, [N]; or 1 where a row has a label, [N, C]. Then each of the most
            frequent sets of labels counts as a class, and so do all rows with other sets together.
        shrinkage: share of the covariance that is replaced by equal variances without correlation, 0 to 1;
            None for the estimate of Ledoit and Wolf (2004). With 0 there must be more rows than widths.

    Raises:
        ValueError: there are no rows, a state is not finite, or the covariance cannot be inverted.
    """
    if not len(states_NH) or not np.isfinite(states_NH).all():
        raise ValueError(
            f"the states of {len(states_NH)} training rows are none or not finite; fine-tune it again"
        )
    with threadpool_limits(1):  # sums in another order, by another number of threads, are other bits
        states = states_NH.astype(np.float64)
        center_H = states.mean(axis=0)
        means_KH, residuals_NH = _group(states - center_H, _classes(targets))
        try:
            lower_HH = np.linalg.cholesky(_covariance(residuals_NH, shrinkage))
        except np.linalg.LinAlgError:
            raise ValueError(
                f"the covariance of {len(states)} rows of width {states.shape[1]} cannot be inverted without"
                " shrinkage; give more rows, or shrinkage > 0"
            ) from None
        whitening_HH = np.linalg.inv(lower_HH).T
        means_KH = means_KH @ whitening_HH
    return Statistics(
        center_H=center_H.astype(np.float32),
        whitening_HH=np.ascontiguousarray(whitening_HH, np.float32),
        means_KH=means_KH.astype(np.float32),
    )


def _classes(targets: npt.NDArray[np.integer]) -> npt.NDArray[np.intp]:
    """Return the class of each row, [N], from 0 to K - 1, with a row for each."""
    if targets.ndim == 2:
        _, sets_N, rows = np.unique(targets, axis=0, return_inverse=True, return_counts=True)
        places = np.argsort(np.argsort(-rows, kind="stable"))  # 0 is the most frequent set
        own = (places < MAX_MEANS) & (rows > 1)
        targets = np.where(own, places, MAX_MEANS)[sets_N.reshape(-1)]
    classes_N: npt.NDArray[np.intp] = np.unique(targets, return_inverse=True)[1]
    return classes_N


def _group(
    states_NH: npt.NDArray[np.float64], classes_N: npt.NDArray[np.intp]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the mean of each class, and the states without the mean of their class."""
    rows_K = np.bincount(classes_N)
    order = np.argsort(classes_N, kind="stable")
    starts = np.cumsum(rows_K) - rows_K
    means_KH = np.add.reduceat(states_NH[order], starts, axis=0) / rows_K[:, None]
    return means_KH, states_NH - means_KH[classes_N]


def _covariance(residuals_NH: npt.NDArray[np.float64], shrinkage: float | None) -> npt.NDArray[np.float64]:
    """Return the shrunk covariance [H, H] of rows with mean 0.

    Source: Ledoit and Wolf, A well-conditioned estimator for large-dimensional covariance matrices, 2004.
    """
    rows, width = residuals_NH.shape
    covariance_HH: npt.NDArray[np.float64] = residuals_NH.T @ residuals_NH / rows
    variance = float(np.trace(covariance_HH)) / width
    if variance == 0:  # each row equals its mean
        return np.eye(width)
    if shrinkage is None:
        squared = float((covariance_HH**2).sum())
        noise = float(((residuals_NH**2).sum(axis=1) ** 2).mean() - squared) / rows
        distance = squared - width * variance**2
        shrinkage = max(MIN_SHRINKAGE, min(1.0, noise / distance)) if distance > 0 else 1.0
    covariance_HH *= 1 - shrinkage
    covariance_HH.flat[:: width + 1] += shrinkage * variance
    return covariance_HH


def score(
    kind: Kind,
    logits_NC: Floats,
    states_NH: Floats | None,
    *,
    multi_label: bool,
    statistics: Statistics | None,
) -> Floats:
    """Return how far out of scope each row is, float32 [N]; higher is further.

    Args:
        kind: which score.
            - "mahalanobis": distance to the nearest of the means, in standard deviations; reads the states.
            - "energy": -log(sum of exp(logit)); with several labels a row, the sum over labels of
              -log(1 + exp(logit)) (Wang et al. 2021).
            - "max_probability": 1 - the probability of the most probable class; with several labels a row,
              of the most probable set of labels, which may be empty.
        logits_NC: of the rows, calibrated.
        states_NH: of the rows, for "mahalanobis".
        multi_label: whether a row may have several labels.
        statistics: of the model, for "mahalanobis".

    Raises:
        ValueError: a score is not a number.
    """
    if kind == "mahalanobis":
        assert statistics is not None, "ask for the distance only where the model has statistics"
        assert states_NH is not None, "the distance is one between states"
        score_N = _distances(states_NH, statistics)
    elif kind == "energy":
        score_N = -(np.logaddexp(0, logits_NC).sum(axis=1) if multi_label else _logsumexp(logits_NC))
    elif multi_label:  # a label is right with probability 1 / (1 + exp(-|logit|)), whichever is more probable
        score_N = -np.expm1(-np.logaddexp(0, -np.abs(logits_NC)).sum(axis=1))
    else:
        score_N = -np.expm1(logits_NC.max(axis=1) - _logsumexp(logits_NC))
    if not np.isfinite(score_N).all():
        raise ValueError("the model gives NaN or infinity for these texts; fine-tune it again")
    return score_N.astype(np.float32, copy=False)


def _logsumexp(logits_NC: Floats) -> Floats:
    top_N = logits_NC.max(axis=1)
    total_N: Floats = top_N + np.log(np.exp(logits_NC - top_N[:, None]).sum(axis=1))
    return total_N


def _distances(states_NH: Floats, statistics: Statistics) -> Floats:
    """Return the distance of each row to the nearest mean: two matrix products, in parts of rows."""
    means_KH = statistics.means_KH
    squares_K = (means_KH**2).sum(axis=1)
    nearest_N = np.empty(len(states_NH), np.float32)
    for start in range(0, len(states_NH), _ROWS):
        whitened = (states_NH[start : start + _ROWS] - statistics.center_H) @ statistics.whitening_HH
        squares = (whitened**2).sum(axis=1)
        squares += (squares_K - 2 * (whitened @ means_KH.T)).min(axis=1)
        nearest_N[start : start + _ROWS] = np.sqrt(np.maximum(squares, 0))
    return nearest_N
