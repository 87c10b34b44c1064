"""Losses of text classification, each one number per row, so that a batch may be computed in parts.

Single-label targets are int64 [B], multi-label ones float32 [B, C] of 0 and 1. Losses are in nats; the
loss of a multi-label row is the mean over its labels. Shape suffixes: B rows, C classes.
"""

import numpy as np
import torch
from torch.nn import functional

from bertline.params.finetune import Params


def class_weights(labels: np.ndarray, params: Params) -> torch.Tensor | None:
    """Return the weight of each class, float32 [C], from the training `labels`; None for equal weights.

    `balanced` gives every class of int64 [N] labels the same total weight (King and Zeng, Logistic Regression
    in Rare Events Data, 2001), and of uint8 [N, C] labels as much weight to the rows that have a label as to
    those that have not.
    """
    if params.class_weights == "none":
        return None
    if labels.ndim == 2:
        present_C = labels.sum(axis=0, dtype=np.int64)
        weights_C = np.maximum(len(labels) - present_C, 1) / np.maximum(present_C, 1)
    else:
        counts_C = np.bincount(labels)
        weights_C = len(labels) / (len(counts_C) * np.maximum(counts_C, 1))
    return torch.from_numpy(weights_C.astype(np.float32))


def row_losses(
    logits_BC: torch.Tensor, targets: torch.Tensor, params: Params, weights_C: torch.Tensor | None
) -> torch.Tensor:
    """Return the loss of each row, float32 [B]: cross-entropy, or focal loss (Lin et al., 2017)."""
    focal = params.focal_gamma if params.loss == "focal" else 0.0
    if targets.ndim == 2:
        smoothed_BC = targets * (1 - params.label_smoothing) + params.label_smoothing / 2
        losses_BC = functional.binary_cross_entropy_with_logits(
            logits_BC, smoothed_BC, pos_weight=weights_C, reduction="none"
        )
        p_true_BC = torch.where(targets > 0, logits_BC.sigmoid(), (-logits_BC).sigmoid())
        return (focal_factor(p_true_BC, focal) * losses_BC).mean(dim=1) if focal else losses_BC.mean(dim=1)
    losses_B = functional.cross_entropy(
        logits_BC, targets, weight=weights_C, label_smoothing=params.label_smoothing, reduction="none"
    )
    if focal:
        p_true_B = logits_BC.softmax(dim=1).gather(1, targets[:, None]).squeeze(1)
        losses_B = focal_factor(p_true_B, focal) * losses_B
    return losses_B


def focal_factor(p_true: torch.Tensor, gamma: float) -> torch.Tensor:
    """Return the weight of each loss, by the probability of the true answer: (1 - p)^gamma."""
    return (1 - p_true).clamp(min=1e-8).pow(gamma)  # the gradient of a root is infinite at 0


def row_weights(targets: torch.Tensor, weights_C: torch.Tensor | None) -> torch.Tensor:
    """Return what each row counts in a mean, float32 [B]: the weight of its class; 1 of a multi-label row."""
    if weights_C is None or targets.ndim == 2:
        return torch.ones(len(targets), device=targets.device)
    return weights_C[targets]


def symmetric_kl(one_BC: torch.Tensor, other_BC: torch.Tensor, *, multi_label: bool) -> torch.Tensor:
    """Return the symmetric Kullback-Leibler divergence of two predictions of each row, float32 [B].

    Source: Liang et al., R-Drop: Regularized Dropout for Neural Networks, NeurIPS 2021.
    """
    if multi_label:  # each label is a binary choice
        difference_BC = one_BC.sigmoid() - other_BC.sigmoid()
        return (difference_BC * (one_BC - other_BC)).mean(dim=1) / 2
    one, other = one_BC.log_softmax(dim=1), other_BC.log_softmax(dim=1)
    return ((one.exp() - other.exp()) * (one - other)).sum(dim=1) / 2
