"""Fit what the Mahalanobis distance needs: a mean for each class, and one covariance for all.

Source: Podolskiy et al., Revisiting Mahalanobis Distance for Transformer-Based Out-of-Domain Detection, 2021.
Imports no torch. Shape suffixes: N training rows, M other rows, K means, W width of a state, H of a part.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from bertline.head.out_of_scope import Floats, Part, Statistics

MAX_MEANS = 1000
"""Sets of labels that get a mean of their own, where a row has several labels."""

MIN_SHRINKAGE = 1e-6
"""Keeps a covariance invertible whose rows are too few or too equal for an estimate of the shrinkage."""


def fit(
    states_NW: npt.NDArray[np.floating],
    targets: npt.NDArray[np.integer],
    *,
    widths: tuple[int, ...] | None = None,
    held_out_MW: Floats | None = None,
    shrinkage: float | None = None,
) -> Statistics:
    """Return the statistics of training rows, the same bits whatever the number of threads.

    Args:
        states_NW: of the rows.
        targets: the class of each row, [N]; or 1 where a row has a label, [N, C]. Then each of the most
            frequent sets of labels counts as a class, and so do all rows with other sets together.
        widths: of the parts of a state; they add up to W. None for one part.
        held_out_MW: states of other rows. Their distances get a standard deviation of 1 in each part, so that
            the parts count alike.
        shrinkage: share of the covariance that is replaced by equal variances without correlation, 0 to 1;
            None for the estimate of Ledoit and Wolf (2004). With 0 there must be more rows than widths.

    Raises:
        ValueError: there are no rows, a state is not finite, or the covariance cannot be inverted.
    """
    if not len(states_NW) or not np.isfinite(states_NW).all():
        raise ValueError(
            f"the states of {len(states_NW)} training rows are none or not finite; fine-tune it again"
        )
    classes_N = _classes(targets)
    parts, start = [], 0
    with threadpool_limits(1):  # sums in another order, by another number of threads, are other bits
        for width in widths or (states_NW.shape[1],):
            here = slice(start, start + width)
            start += width
            part = _fit_part(states_NW[:, here].astype(np.float64), classes_N, shrinkage)
            parts.append(part if held_out_MW is None else _rescale(part, held_out_MW[:, here]))
    return Statistics(tuple(parts))


def _fit_part(
    states_NH: npt.NDArray[np.float64], classes_N: npt.NDArray[np.intp], shrinkage: float | None
) -> Part:
    center_H = states_NH.mean(axis=0)
    means_KH, residuals_NH = _group(states_NH - center_H, classes_N)
    try:
        lower_HH = np.linalg.cholesky(_covariance(residuals_NH, shrinkage))
    except np.linalg.LinAlgError:
        rows, width = states_NH.shape
        raise ValueError(
            f"the covariance of {rows} rows of width {width} cannot be inverted without shrinkage; "
            "give more rows, or shrinkage > 0"
        ) from None
    whitening_HH = np.linalg.inv(lower_HH).T
    return Part(
        center_H=center_H.astype(np.float32),
        whitening_HH=np.ascontiguousarray(whitening_HH, np.float32),
        means_KH=(means_KH @ whitening_HH).astype(np.float32),
    )


def _rescale(part: Part, states_MH: Floats) -> Part:
    """Return `part` with distances whose standard deviation is 1 for `states_MH`, if they differ at all."""
    spread = np.std(part.distances(states_MH)) if len(states_MH) else np.float32(0)
    scale = 1 / spread if 0 < spread < np.inf else np.float32(1)
    return replace(part, whitening_HH=part.whitening_HH * scale, means_KH=part.means_KH * scale)


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
