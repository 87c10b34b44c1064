"""Out-of-scope scores: how little a text resembles those that a classifier was trained on.

A higher score means more out of scope; only the order of the scores has a meaning. No threshold is set here.
`class_gaussians` fits the statistics that the Mahalanobis distance needs.

- The logits are calibrated, that is, divided by a temperature. The energy of Liu et al. (2020) has a
  temperature of its own: here it is this one.
- With several labels a row, a text that has none of them is in scope. The energy alone cannot see that.

Does not guarantee anything about texts that differ from the training texts in what the classifier ignores.
Imports no torch. Shape suffixes: N rows, C classes, K means, W width of a state, H of a part of it.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from bertline.core.files import disk_errors, replacing

FILE = "out_of_scope.safetensors"
Kind = Literal["mahalanobis", "energy", "max_probability"]
Reader = Literal["first", "last"]
"""Which linear layer of the head reads the state: the last one, in models that were trained until 2026-11."""

DEFAULT_SCORE: Kind = "mahalanobis"
"""Finds most of the texts of classes that were left out of a training (benchmarks/out_of_scope.py)."""

_ROWS = 8192  # that are scored at once: their states and distances fit into the cache of a core

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """What makes the Mahalanobis distance of some dimensions of a state a Euclidean one: float32 and finite.

    `center_H`: the mean of the states. `whitening_HH`: makes the shared covariance of the centred states
    a multiple of the identity, by `states @ whitening`. `means_KH`: the whitened means of the classes.
    """

    center_H: Floats
    whitening_HH: Floats
    means_KH: Floats

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shapes that the arrays have if they fit together."""
        width = self.center_H.size
        return (width,), (width, width), (len(self.means_KH), width)

    def distances(self, states_NH: Floats) -> Floats:
        """Return the distance of each row to the nearest mean: two matrix products, in pieces of rows."""
        squares_K = (self.means_KH**2).sum(axis=1)
        nearest_N = np.empty(len(states_NH), np.float32)
        for start in range(0, len(states_NH), _ROWS):
            whitened = (states_NH[start : start + _ROWS] - self.center_H) @ self.whitening_HH
            squares = (whitened**2).sum(axis=1)
            squares += (squares_K - 2 * (whitened @ self.means_KH.T)).min(axis=1)
            nearest_N[start : start + _ROWS] = np.sqrt(np.maximum(squares, 0))
        return nearest_N


@dataclass(frozen=True)
class Statistics:
    """What the Mahalanobis distance needs: a part for each layer that a state comes from, in order.

    `reader`: which layer of the head reads the state of the first part.
    """

    parts: tuple[Part, ...]
    reader: Reader = "first"

    def distances(self, states_NW: Floats) -> Floats:
        """Return the sum over the parts of the distance of each row, float32 [N]."""
        ends = np.cumsum([len(part.center_H) for part in self.parts])
        assert states_NW.shape[1] == ends[-1], "the states are those of the model that the statistics are of"
        pieces = np.split(states_NW, ends[:-1], axis=1)
        total_N: Floats = np.sum([p.distances(x) for p, x in zip(self.parts, pieces, strict=True)], axis=0)
        return total_N

    def save(self, folder: Path) -> None:
        """Write `folder/out_of_scope.safetensors`; equal statistics are equal bytes."""
        named = {
            f"{i}.{name}": each for i, part in enumerate(self.parts) for name, each in vars(part).items()
        }
        with replacing(folder / FILE) as new, disk_errors():
            save_file(named, new, {"reader": self.reader})

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
            named = load_file(path)
            with safe_open(path, "numpy") as file:
                reader = (file.metadata() or {}).get("reader", "last")
            names = [each.name for each in fields(Part)]
            parts = [
                Part(**{name: named[f"{i}.{name}"] for name in names})
                for i in range(len(named) // len(names))
            ]
            shapes = [tuple(each.shape for each in vars(part).values()) for part in parts]
            if not parts or shapes != [part.shapes for part in parts]:
                raise ValueError(f"its arrays have the shapes {shapes}")
            if reader not in get_args(Reader):
                raise ValueError(f"its states are those of the layer {reader!r}")
        except (SafetensorError, KeyError, ValueError) as error:
            raise ValueError(f"{path} is damaged ({error}); fetch or train the model again") from None
        return cls(tuple(parts), reader)


def score(
    kind: Kind,
    logits_NC: Floats,
    states_NW: Floats | None,
    *,
    multi_label: bool,
    statistics: Statistics | None,
) -> Floats:
    """Return how far out of scope each row is, float32 [N]; higher is further.

    Args:
        kind: which score.
            - "mahalanobis": the distance to the nearest mean, added up over the parts of a state; it does not
              read the logits.
            - "energy": -log(sum of exp(logit)); with several labels a row, the sum over labels of
              -log(1 + exp(logit)) (Wang et al. 2021).
            - "max_probability": 1 - the probability of the most probable class; with several labels a row,
              of the most probable set of labels, which may be empty.
        logits_NC: of the rows, calibrated.
        states_NW: of the rows, for "mahalanobis".
        multi_label: whether a row may have several labels.
        statistics: of the model, for "mahalanobis".

    Raises:
        ValueError: a score is not a number.
    """
    if kind == "mahalanobis":
        assert statistics is not None, "ask for the distance only where the model has statistics"
        assert states_NW is not None, "the distance is one between states"
        score_N = statistics.distances(states_NW)
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
