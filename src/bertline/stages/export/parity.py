"""How far an exported file is from the model in torch, on the same rows, and which file is served.

Shape suffixes: N rows, C classes.
"""

from dataclasses import dataclass
from typing import Unpack

import numpy as np
from scipy.special import expit

from bertline.metrics.classification import Targets, correct_rows, predict_classes
from bertline.metrics.intervals import Settings, paired_difference, share_interval
from bertline.models.folder import Precision
from bertline.params.export import Params

Floats = np.ndarray

MAX_DIFFERENCE = 1e-3
"""Of logits in float32, as a share of the largest, or of 1; more means that the graph is not the model."""


@dataclass(frozen=True, kw_only=True)
class Parity:
    """An exported file against torch.

    Attributes:
        max_difference: of logits, as a share of the largest, or of 1.
        flips: share of rows with another answer; `flips_high` is the upper end of its interval.
        loss: accuracy that is lost, as a share of rows; `loss_low` is the lower end of its interval.
    """

    max_difference: float
    flips: float
    flips_high: float
    loss: float
    loss_low: float


def compare(expected: Targets, torch_NC: Floats, exported_NC: Floats, **settings: Unpack[Settings]) -> Parity:
    """Return the parity of the logits of an exported file with those of torch, float32 [N, C] each.

    `expected`: the labels, int64 [N] or multi-label [N, C].
    """
    answers, exported = (
        predict_classes(expit(logits_NC) if expected.ndim == 2 else logits_NC, like=expected)
        for logits_NC in (torch_NC, exported_NC)
    )
    flips = share_interval(~correct_rows(answers, exported), settings["confidence"])
    loss = paired_difference(expected, answers, exported, torch_NC.shape[1], "accuracy", **settings)
    scale = max(1.0, float(np.abs(torch_NC).max()))
    return Parity(
        max_difference=float(np.abs(torch_NC - exported_NC).max()) / scale,
        flips=flips.value,
        flips_high=flips.high,
        loss=loss.value,
        loss_low=loss.low,
    )


def choose(params: Params, fp32: Parity, int8: Parity | str) -> tuple[Precision, str]:
    """Return which file is served, and why; `int8` may be the reason why there is none."""
    if fp32.max_difference > MAX_DIFFERENCE:
        return (
            "torch",
            f"the exported graph differs from torch: by {fp32.max_difference:.2g} of the largest logit",
        )
    if isinstance(int8, str):
        return "fp32", int8
    flips = f"{int8.flips:.1%} of the answers flip (at most {int8.flips_high:.1%})"
    loss = f"{100 * int8.loss:.1f} points of accuracy are lost (at least {100 * int8.loss_low:.1f})"
    if int8.flips_high > params.max_flips:
        return "fp32", f"with int8 {flips}; export.max_flips allows {params.max_flips:.1%}"
    if int8.loss > params.max_loss:
        return "fp32", f"with int8 {loss}; export.max_loss allows {100 * params.max_loss:.1f}"
    return "int8", f"{flips}, and {loss}"
