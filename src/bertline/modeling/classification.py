"""Text classification as a task: single-label, multi-label, of texts, sentence pairs and long texts' windows.

Shape suffixes: B rows, S sequences (one a row, or its windows), C classes, N rows of a split.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from sklearn.metrics import f1_score
from transformers import PreTrainedModel

from bertline.modeling.batches import Batch, Collate, pool, sorted_order, training_order, windows
from bertline.modeling.distillation import distillation_loss
from bertline.modeling.distributed import World
from bertline.modeling.encoder import autocast
from bertline.modeling.memory import Scoring
from bertline.modeling.objectives import class_weights, disagreement, row_losses, row_weights
from bertline.modeling.strategies import parameter_groups, unfreeze
from bertline.modeling.tokens import TokenizedSplit
from bertline.params.finetune import Params


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledBatch(Batch):
    """Some rows of a split.

    `windows_B` int64: sequences of each; None where each is one. `weights_C` float32: of the classes, None
    if they are equal. `teacher_BC` float32: logits of a teacher, if there is one.
    """

    windows_B: torch.Tensor | None
    weights_C: torch.Tensor | None = None
    teacher_BC: torch.Tensor | None = None


class Classification:
    """The `task.Task` of `finetune`.

    Args:
        splits: `train` and `validation`.
        params: of the section finetune.
        collate: makes the model's inputs from tokens.
        teacher_NC: logits of a teacher for the training rows, float32, if `params.distillation` is not 0.
    """

    def __init__(
        self,
        splits: dict[str, TokenizedSplit],
        params: Params,
        collate: Collate,
        teacher_NC: np.ndarray | None = None,
    ) -> None:
        self._train, self._validation = splits["train"], splits["validation"]
        self._params = params
        self._collate = collate
        self._teacher_NC = teacher_NC
        self._weights_C = class_weights(self._train.labels, params)
        self.select_by: str = params.select_by

    def __len__(self) -> int:
        return len(self._train)

    def parameter_groups(self, model: PreTrainedModel) -> list[dict[str, Any]]:
        """Return AdamW's groups, with learning rates by depth."""
        return parameter_groups(model, self._params, self._params.layer_decay)

    def start_epoch(self, model: PreTrainedModel, epoch: int) -> None:
        """Switch dropout on, and thaw the layers that `epoch` trains."""
        model.train()
        unfreeze(model, epoch, self._params)

    def order(self, epoch: int) -> list[np.ndarray]:
        """Return the row indices of each batch: like lengths together, in random order."""
        params = self._params
        return training_order(self._train.lengths, params.batch_size, seed=params.seed, epoch=epoch)

    def batch(self, rows: np.ndarray, epoch: int) -> LabelledBatch:
        """Return the tokens and labels of `rows`."""
        batch = _batch(self._train, rows, self._collate)
        taught = None if self._teacher_NC is None else torch.from_numpy(self._teacher_NC[rows])
        return replace(batch, weights_C=self._weights_C, teacher_BC=taught)

    def weight(self, batch: Batch) -> float:
        """Return the rows of `batch`, counted by the weights of their classes."""
        return float(row_weights(batch.targets, self._weights_C).sum())

    def loss(self, model: PreTrainedModel, batch: Batch) -> torch.Tensor:
        """Return the loss summed over rows."""
        assert isinstance(batch, LabelledBatch), "the batches of this task"
        params = self._params
        logits_BC = _logits(model, batch)
        losses_B = self._losses(logits_BC, batch)
        if params.r_drop:
            again_BC = _logits(model, batch)
            multi_label = batch.targets.ndim == 2
            apart_B = disagreement(logits_BC, again_BC, multi_label=multi_label)
            weights_B = row_weights(batch.targets, batch.weights_C)
            losses_B = (losses_B + self._losses(again_BC, batch)) / 2 + params.r_drop * weights_B * apart_B
        return losses_B.sum()

    def _losses(self, logits_BC: torch.Tensor, batch: LabelledBatch) -> torch.Tensor:
        losses_B = row_losses(logits_BC, batch.targets, self._params, batch.weights_C)
        share, taught_BC = self._params.distillation, batch.teacher_BC
        if share == 0:
            return losses_B
        assert taught_BC is not None, "whoever asks for distillation brings the teacher's logits"
        multi_label = batch.targets.ndim == 2
        soft_B = distillation_loss(logits_BC, taught_BC, self._params.temperature, multi_label=multi_label)
        return (1 - share) * losses_B + share * row_weights(batch.targets, batch.weights_C) * soft_B

    def validate(self, model: PreTrainedModel) -> dict[str, float]:
        """Return loss (plain cross-entropy, in nats), accuracy (of all labels of a row) and macro-F1."""
        logits_NC = predict(model, self._validation, self._params.rows_at_once, self._collate)
        labels = self._validation.labels
        multi_label = labels.ndim == 2
        predicted = logits_NC > 0 if multi_label else logits_NC.argmax(axis=1)
        present = np.flatnonzero(labels.any(axis=0)) if multi_label else np.unique(labels)
        f1 = f1_score(labels, predicted, average="macro", labels=present, zero_division=0)
        right_N = predicted == labels
        return {
            "loss": _plain_loss(torch.from_numpy(logits_NC), torch.tensor(labels)),
            "accuracy": float((right_N.all(axis=1) if multi_label else right_N).mean()),
            "macro_f1": float(f1),
        }


def predict(model: PreTrainedModel, split: TokenizedSplit, batch_size: int, collate: Collate) -> np.ndarray:
    """Return the logits of every row, float32 [N, C], in the order of `split`.

    Raises:
        OutOfMemoryError: not even one row fits into memory; as many at once as fit are computed.
    """
    logits_NC = np.zeros((len(split), model.config.num_labels), dtype=np.float32)
    world = World.current()
    scoring = Scoring(model, batch_size, world)

    def score(own: np.ndarray, counts: float) -> None:
        logits_BC = _logits(model, _batch(split, own, collate).to(model.device))
        logits_NC[own] = logits_BC.cpu().numpy() * counts

    model.eval()
    with torch.inference_mode():
        for rows in sorted_order(split.lengths, batch_size):
            scoring.fit(rows, score)
    return world.total(logits_NC)


def _batch(split: TokenizedSplit, rows: np.ndarray, collate: Collate) -> LabelledBatch:
    labels = torch.from_numpy(split.labels[rows])  # fancy indexing copies: writable
    return LabelledBatch(
        inputs=collate(split, split.sequences(rows)),
        targets=labels.float() if labels.ndim == 2 else labels,
        windows_B=windows(split, rows),
    )


def _logits(model: PreTrainedModel, batch: LabelledBatch) -> torch.Tensor:
    with autocast(model.device):
        logits_SC: torch.Tensor = model(**batch.inputs).logits
    return pool(logits_SC.float(), batch.windows_B)


def _plain_loss(logits_NC: torch.Tensor, labels: torch.Tensor) -> float:
    if labels.ndim == 2:
        return torch.nn.functional.binary_cross_entropy_with_logits(logits_NC, labels.float()).item()
    return torch.nn.functional.cross_entropy(logits_NC, labels).item()
