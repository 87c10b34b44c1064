"""What the training loop asks of a task: the classification of texts, or pre-training."""

from typing import Any, Protocol

import numpy as np
import torch
from transformers import PreTrainedModel

from bertline.modeling.batches import Batch


class Task(Protocol):
    """What a model learns. Orders and batches are pure functions of seed, epoch and rows."""

    select_by: str
    """The score by which the best epoch is chosen: the highest, or of "loss" the lowest."""

    def __len__(self) -> int:
        """Return the rows of the training split."""

    def parameter_groups(self, model: PreTrainedModel) -> list[dict[str, Any]]:
        """Return AdamW's groups; `scale` multiplies the learning rate of one."""

    def start_epoch(self, model: PreTrainedModel, epoch: int) -> None:
        """Put the model into the state in which `epoch` trains it."""

    def order(self, epoch: int) -> list[np.ndarray]:
        """Return the row indices of each batch."""

    def batch(self, rows: np.ndarray, epoch: int) -> Batch:
        """Return inputs and targets of some rows."""

    def weight(self, batch: Batch) -> float:
        """Return what a batch counts in a mean: its rows, say, or its masked tokens."""

    def loss(self, model: PreTrainedModel, batch: Batch) -> torch.Tensor:
        """Return the loss summed, not averaged, over what `weight` counts.

        All that differs from step to step comes with `batch`: on a GPU the computation is recorded.
        """

    def validate(self, model: PreTrainedModel) -> dict[str, float]:
        """Return scores on the validation split, among them `select_by`."""
