"""An exponential moving average (EMA) of the weights, which is evaluated and kept instead of the weights.

Source: Polyak and Juditsky, Acceleration of Stochastic Approximation by Averaging, 1992. The decay grows over
the first steps, as in TensorFlow's ExponentialMovingAverage, so that they do not count for ever.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


class Ema:
    """The average of the trained weights of `model` over its steps; a higher `decay` remembers longer."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._decay = decay
        self._weights = {name: each for name, each in model.named_parameters() if each.requires_grad}
        self.averages = {name: each.detach().clone() for name, each in self._weights.items()}

    def update(self, step: int) -> None:
        """Add the weights after `step` (from 1) to the average."""
        decay = min(self._decay, (1 + step) / (10 + step))
        weights = [each.detach() for each in self._weights.values()]
        torch._foreach_lerp_(list(self.averages.values()), weights, 1 - decay)

    @contextmanager
    def swapped_in(self) -> Iterator[None]:
        """Exchange the model's weights for their average within the block."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, weight in self._weights.items():
            held = weight.clone()
            weight.copy_(self.averages[name])  # not weight.data: FSDP2 would not see it
            self.averages[name].copy_(held)
