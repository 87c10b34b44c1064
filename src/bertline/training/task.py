"""The interface of a task to the training loop: the classification of texts, or pre-training."""

from typing import Any, Protocol

import numpy as np
import torch
from transformers import PreTrainedModel

from bertline.encoder.collate import Batch


class Task(Protocol):
    """A task that a model learns. Orders and batches are pure functions of seed, epoch and rows."""

    select_by: str
    """The score that chooses the best epoch: the highest wins, or the lowest if it is "loss"."""

    def __len__(self) -> int:
        """Return the number of rows of the training split."""

    def parameter_groups(self, model: PreTrainedModel) -> list[dict[str, Any]]:
        """Return AdamW's groups; `lr_scale` multiplies the learning rate of a group."""

    def start_epoch(self, model: PreTrainedModel, epoch: int) -> None:
        """Put the model into the state in which `epoch` trains it."""

    def order(self, epoch: int) -> list[np.ndarray]:
        """Return the row indices of each batch."""

    def batch(self, rows: np.ndarray, epoch: int) -> Batch:
        """Return inputs and targets of some rows."""

    def weight(self, batch: Batch) -> float:
        """Return how much a batch counts in a mean: its rows, for example, or its masked tokens."""

    def loss(self, model: PreTrainedModel, batch: Batch) -> torch.Tensor:
        """Return the loss summed, not averaged, over what `weight` counts.

        What differs from step to step must come with `batch`, because a CUDA graph replays the rest.
        """

    def validate(self, model: PreTrainedModel) -> dict[str, float]:
        """Return scores on the validation split, among them `select_by`."""
