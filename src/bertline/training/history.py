"""The steps and epochs of a training so far, which epoch is best, and how a checkpoint holds them."""

from dataclasses import asdict, dataclass, fields
from typing import Any

import torch


@dataclass(frozen=True, kw_only=True)
class Step:
    """One optimizer step: number from 1, mean loss of its batch (nats), learning rate, texts in the batch.

    `micro_batch`: texts that are computed at once, at most; it is halved when memory runs out.
    """

    step: int
    loss: float
    learning_rate: float
    examples: int
    micro_batch: int


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One pass over the training split: number from 1, mean loss (nats), the task's scores on validation."""

    epoch: int
    train_loss: float
    scores: dict[str, float]

    def better_than(self, other: "Epoch", select_by: str) -> bool:
        """Return whether this epoch beats `other` by `select_by`, a loss or a score; a tie does not."""
        sign = -1 if select_by == "loss" else 1
        return sign * self.scores[select_by] > sign * other.scores[select_by]


History = list[Step | Epoch]


def best_epoch(history: History, select_by: str) -> Epoch | None:
    """Return the best epoch by `select_by`, the earliest on a tie; None before the first."""
    best: Epoch | None = None
    for each in history:
        if isinstance(each, Epoch) and (best is None or each.better_than(best, select_by)):
            best = each
    return best


def has_stalled(history: History, select_by: str, patience: int | None) -> bool:
    """Return whether none of the last `patience` epochs was better by `select_by`; False if None."""
    best = best_epoch(history, select_by)
    if patience is None or best is None:
        return False
    return sum(isinstance(each, Epoch) for each in history) - best.epoch >= patience


def epoch_loss(history: History) -> float:
    """Return the mean loss (nats) of the texts since the last epoch."""
    ended = max((i for i, each in enumerate(history) if isinstance(each, Epoch)), default=-1)
    steps = [each for each in history[ended + 1 :] if isinstance(each, Step)]
    return sum(each.loss * each.examples for each in steps) / sum(each.examples for each in steps)


def pack(history: History) -> tuple[dict[str, torch.Tensor], list[Any]]:
    """Return the steps as columns, as there may be a million, and the epochs as JSON with their places."""
    steps = [each for each in history if isinstance(each, Step)]
    columns = {
        field.name: torch.tensor(
            [getattr(each, field.name) for each in steps],
            dtype=torch.float64 if field.type is float else torch.int64,
        )
        for field in fields(Step)
    }
    return columns, [(i, asdict(each)) for i, each in enumerate(history) if isinstance(each, Epoch)]


def unpack(columns: dict[str, torch.Tensor], epochs: list[Any]) -> History:
    """Return the history that `pack` was given."""
    names = [field.name for field in fields(Step)]
    values = zip(*(columns[name].tolist() for name in names), strict=True)
    history: History = [Step(**dict(zip(names, each, strict=True))) for each in values]
    for i, epoch in epochs:
        history.insert(i, Epoch(**epoch))
    return history
