"""Text classification as a task: single-label, multi-label, of texts, sentence pairs and long texts' windows.

Shape suffixes: B rows, S sequences (one a row, or its windows), C classes, N rows of a split, R some of them,
W width of a result.
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from bertline.encoder.collate import Batch, Collate, mean_over_windows, window_counts
from bertline.encoder.layers import LayerDepths
from bertline.encoder.ordering import sorted_order, training_order
from bertline.encoder.precision import autocast
from bertline.metrics.classification import accuracy, macro_f1, predict_classes
from bertline.params.finetune import Resolved
from bertline.stages.finetune.distillation import distillation_loss
from bertline.stages.finetune.layers import unfreeze
from bertline.stages.finetune.losses import class_weights, row_losses, row_weights, symmetric_kl
from bertline.tokens.arrays import TokenizedSplit
from bertline.training.micro_batching import BatchedInference
from bertline.training.optimizer import parameter_groups
from bertline.training.process_group import World


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledBatch(Batch):
    """Some rows of a split.

    `windows_B` int64: sequences of each; None where each is one. `weights_C` float32: of the classes, None
    if they are equal. `teacher_logits_BC` float32: logits of a teacher, if there is one.
    """

    windows_B: torch.Tensor | None
    weights_C: torch.Tensor | None = None
    teacher_logits_BC: torch.Tensor | None = None

    @property
    def multi_label(self) -> bool:
        """Whether a row may have several labels, or none."""
        return self.targets.ndim == 2


class Classification:
    """The `task.Task` of `finetune`.

    Args:
        splits: `train` and `validation`.
        params: of the section finetune.
        collate: makes the model's inputs from tokens.
        teacher_logits_NC: of a teacher for the training rows, float32, if `params.distillation` is not 0.
        depths: of the parameters, if `params.layer_decay` is under 1 or layers are unfrozen gradually.
    """

    def __init__(
        self,
        splits: dict[str, TokenizedSplit],
        params: Resolved,
        collate: Collate,
        teacher_logits_NC: np.ndarray | None = None,
        depths: LayerDepths | None = None,
    ) -> None:
        self._train, self._validation = splits["train"], splits["validation"]
        self._params = params
        self._collate = collate
        self._teacher_logits_NC = teacher_logits_NC
        self._depths = depths
        self._weights_C = class_weights(self._train.labels, params)
        self.select_by: str = params.select_by

    def __len__(self) -> int:
        return len(self._train)

    def parameter_groups(self, model: PreTrainedModel) -> list[dict[str, Any]]:
        """Return AdamW's groups, with learning rates by depth."""
        return parameter_groups(model, self._params, self._params.layer_decay, self._depths)

    def start_epoch(self, model: PreTrainedModel, epoch: int) -> None:
        """Switch dropout on, and unfreeze the layers that `epoch` trains."""
        model.train()
        if self._params.unfreeze_epochs:
            assert self._depths is not None, "gradual unfreezing needs the depths"
            unfreeze(model, epoch, self._params, self._depths)

    def order(self, epoch: int) -> list[np.ndarray]:
        """Return the row indices of each batch: like lengths together, in random order."""
        params = self._params
        return training_order(self._train.lengths, params.batch_size, seed=params.seed, epoch=epoch)

    def batch(self, rows: np.ndarray, epoch: int) -> LabelledBatch:
        """Return the tokens and labels of `rows`."""
        batch = _batch(self._train, rows, self._collate)
        teacher_logits = (
            None if self._teacher_logits_NC is None else torch.from_numpy(self._teacher_logits_NC[rows])
        )
        return replace(batch, weights_C=self._weights_C, teacher_logits_BC=teacher_logits)

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
            apart_B = symmetric_kl(logits_BC, again_BC, multi_label=batch.multi_label)
            weights_B = row_weights(batch.targets, batch.weights_C)
            losses_B = (losses_B + self._losses(again_BC, batch)) / 2 + params.r_drop * weights_B * apart_B
        return losses_B.sum()

    def _losses(self, logits_BC: torch.Tensor, batch: LabelledBatch) -> torch.Tensor:
        losses_B = row_losses(logits_BC, batch.targets, self._params, batch.weights_C)
        share, teacher_BC = self._params.distillation, batch.teacher_logits_BC
        if share == 0:
            return losses_B
        assert teacher_BC is not None, "distillation needs the teacher's logits in the batch"
        soft_B = distillation_loss(
            logits_BC, teacher_BC, self._params.temperature, multi_label=batch.multi_label
        )
        return (1 - share) * losses_B + share * row_weights(batch.targets, batch.weights_C) * soft_B

    def validate(self, model: PreTrainedModel) -> dict[str, float]:
        """Return loss (plain cross-entropy, in nats), accuracy (of all labels of a row) and macro-F1."""
        logits_NC = predict(model, self._validation, self._params.rows_at_once, self._collate)
        labels = self._validation.labels
        predicted = predict_classes_of(logits_NC, like=labels)
        return {
            "loss": _plain_loss(torch.from_numpy(logits_NC), torch.tensor(labels)),
            "accuracy": accuracy(labels, predicted),
            "macro_f1": macro_f1(labels, predicted, logits_NC.shape[1]),
        }


def predict(
    model: PreTrainedModel,
    split: TokenizedSplit,
    batch_size: int,
    collate: Collate,
    *,
    full_precision: bool = False,
) -> np.ndarray:
    """Return the logits of every row, float32 [N, C], in the order of `split`.

    On a GPU they are computed in half precision, unless `full_precision`.

    Raises:
        OutOfMemoryError: not even one row fits into memory; as many at once as fit are computed.
    """
    rows_N = np.arange(len(split))
    compute = partial(_logits, model, full_precision=full_precision)
    return infer(model, split, rows_N, batch_size, collate, compute, model.config.num_labels)


def infer(
    model: PreTrainedModel,
    split: TokenizedSplit,
    rows_R: np.ndarray,
    batch_size: int,
    collate: Collate,
    compute: Callable[[LabelledBatch], torch.Tensor],
    width: int,
) -> np.ndarray:
    """Return what `compute` returns for batches of the rows `rows_R` of `split`, float32 [R, width].

    It runs in evaluation mode. All processes share the rows, and each returns all (collective).

    Raises:
        OutOfMemoryError: as `predict`.
    """
    results_RW = np.zeros((len(rows_R), width), dtype=np.float32)
    world = World.current()
    inference = BatchedInference(model, batch_size, world)

    def score(local: np.ndarray, weight: float) -> None:
        results_BW = compute(_batch(split, rows_R[local], collate).to(model.device))
        results_RW[local] = results_BW.cpu().numpy() * weight

    model.eval()
    with torch.inference_mode():
        for places in sorted_order(split.lengths[rows_R], batch_size):
            inference.run(places, score)
    return world.sum(results_RW)


def predict_classes_of(logits_NC: np.ndarray, *, like: np.ndarray) -> np.ndarray:
    """Return the predicted labels in the form of `like`: class indices [N], or 0 and 1 [N, C]."""
    scores_NC = torch.from_numpy(logits_NC).sigmoid().numpy() if like.ndim == 2 else logits_NC
    return predict_classes(scores_NC, like=like)


def _batch(split: TokenizedSplit, rows: np.ndarray, collate: Collate) -> LabelledBatch:
    labels = torch.from_numpy(split.labels[rows])  # fancy indexing copies: writable
    return LabelledBatch(
        inputs=collate(split, split.sequences(rows)),
        targets=labels.float() if labels.ndim == 2 else labels,
        windows_B=window_counts(split, rows),
    )


def _logits(model: PreTrainedModel, batch: LabelledBatch, *, full_precision: bool = False) -> torch.Tensor:
    with nullcontext() if full_precision else autocast(model.device):
        logits_SC: torch.Tensor = model(**batch.inputs).logits
    return mean_over_windows(logits_SC.float(), batch.windows_B)


def _plain_loss(logits_NC: torch.Tensor, labels: torch.Tensor) -> float:
    if labels.ndim == 2:
        return torch.nn.functional.binary_cross_entropy_with_logits(logits_NC, labels.float()).item()
    return torch.nn.functional.cross_entropy(logits_NC, labels).item()
