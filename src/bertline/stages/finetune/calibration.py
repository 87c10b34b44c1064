"""Fit a temperature on validation, and fold it into the last linear layer: every reader gets it.

Guarantees:

- No answer changes, except where two logits, or with several labels a row a logit and 0, are nearer than
  `TIE`. Answers and logits are checked on the validation rows; if they do not hold, the model keeps its bits.
- The same bits after an interruption: logits are computed in full precision and never by compiled layers.

It does not guarantee better probabilities on data unlike the validation rows. All processes call `calibrate`,
and each changes its own copy of the model, in the same way.

Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017.
Shape suffixes: N rows, C classes.
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.special import expit, softmax
from torch import nn
from transformers import PreTrainedModel

from bertline.encoder.collate import collate_for
from bertline.head.last_linear import find_last_linear, scale_logits
from bertline.metrics.calibration import brier, calibration_error, calibration_floor, log_loss
from bertline.metrics.classification import Targets
from bertline.metrics.temperature import Temperature, fit_temperature, unscaled
from bertline.params.finetune import Params
from bertline.stages.finetune.task import predict
from bertline.tokens.arrays import TokenizedSplit

TOLERANCE = 1e-4
"""Largest difference between the logits times T and what they were before."""
TIE = 1e-5
"""Logits nearer than this are equal: rounding decides between them."""
DRAWS = {"resamples": 1000, "seed": 1}
"""Of the labels that tell what calibration error is chance."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """The temperature in the weights of a model, and its logits [N, C] of validation without and with it."""

    temperature: Temperature
    before_NC: np.ndarray
    after_NC: np.ndarray
    targets: Targets

    def record(self, classes: tuple[str, ...]) -> dict[str, Any]:
        """Return what calibration.json holds."""
        several = self.targets.ndim == 2
        return {
            "temperature": self.temperature.record(classes, multi_label=several),
            "not_calibrated_because": self.temperature.reason,
            "validation_rows": len(self.targets),
            "validation_before": _numbers(self.before_NC, self.targets),
            "validation_after": _numbers(self.after_NC, self.targets),
        }

    def line(self) -> str:
        """Return what a person is told."""
        before, after = (
            log_loss(self.targets, _probabilities(logits_NC, self.targets))
            for logits_NC in (self.before_NC, self.after_NC)
        )
        return f"calibrated on validation: {self.temperature}; log-loss {before:.4f} -> {after:.4f}"


def calibrate(model: PreTrainedModel, split: TokenizedSplit, params: Params) -> Calibration:
    """Divide the logits of `model` by a temperature fitted to `split`, the validation rows (collective).

    The temperature is 1, with the reason, if there are too few rows, or if the last layer of this
    architecture is not what makes the logits.
    """
    collate = collate_for(model)
    targets: Targets = np.asarray(split.labels)

    def compute() -> np.ndarray:
        return predict(model, split, params.rows_at_once, collate, full_precision=True)

    eager = torch.compiler.set_stance("force_eager") if params.compile else nullcontext()
    with eager:
        before_NC = compute()
        fitted = fit_temperature(before_NC, targets)
        if not fitted.applied:
            return Calibration(fitted, before_NC, before_NC, targets)
        after_NC = _fold(model, fitted, before_NC, compute, several=targets.ndim == 2)
    if after_NC is None:
        reason = f"the last linear layer of {type(model).__name__} does not make its logits alone"
        return Calibration(unscaled(before_NC.shape[1], reason), before_NC, before_NC, targets)
    return Calibration(fitted, before_NC, after_NC, targets)


def _fold(
    model: PreTrainedModel,
    fitted: Temperature,
    before_NC: np.ndarray,
    compute: Callable[[], np.ndarray],
    *,
    several: bool,
) -> np.ndarray | None:
    """Return the new logits [N, C]; None, and a model as it was, if they are not the old ones by T."""
    linear = find_last_linear(model)
    if linear is None:
        return None
    kept = _copies(linear)
    scale_logits(linear, torch.from_numpy(1 / fitted.values_C))
    after_NC = compute()
    same = np.abs(after_NC * fitted.values_C - before_NC).max() <= TOLERANCE
    if same and not changed_answers(before_NC, after_NC, several=several).any():
        return after_NC
    with torch.no_grad():
        for parameter, copy in zip(linear.parameters(), kept, strict=True):
            parameter.copy_(copy)
    return None


def changed_answers(before_NC: np.ndarray, after_NC: np.ndarray, *, several: bool) -> np.ndarray:
    """Return which rows [N], or with several labels which answers [N, C], changed though they were no tie."""
    if several:
        return np.asarray(((before_NC >= 0) != (after_NC >= 0)) & (np.abs(before_NC) >= TIE))
    ranked_NC = np.sort(before_NC, axis=1)
    decided_N = ranked_NC[:, -1] - ranked_NC[:, -2] >= TIE
    return np.asarray((before_NC.argmax(axis=1) != after_NC.argmax(axis=1)) & decided_N)


def _copies(linear: nn.Linear) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in linear.parameters()]


def _probabilities(logits_NC: np.ndarray, targets: Targets) -> np.ndarray:
    return np.asarray(expit(logits_NC) if targets.ndim == 2 else softmax(logits_NC, axis=1))


def _numbers(logits_NC: np.ndarray, targets: Targets) -> dict[str, float]:
    """Return log-loss, Brier score and calibration error, and what of the last is chance."""
    probabilities_NC = _probabilities(logits_NC, targets)
    floor = calibration_floor(probabilities_NC, multi_label=targets.ndim == 2, **DRAWS)
    numbers = {
        "log_loss": log_loss(targets, probabilities_NC),
        "brier": brier(targets, probabilities_NC),
        "calibration_error": calibration_error(targets, probabilities_NC),
        "calibration_floor": floor.mean,
        "calibration_floor_high": floor.high,
    }
    return {name: round(number, 6) for name, number in numbers.items()}
