"""The statistics of the out-of-scope score, from the states of training rows.

Shape suffixes: N training rows, R those that are chosen, B rows of a batch, S sequences, H width of a state.
"""

from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from bertline.encoder.collate import collate_for, mean_over_windows
from bertline.encoder.layers import eval_mode
from bertline.head.last_linear import find_last_linear, run_with_states
from bertline.head.out_of_scope import Statistics, fit
from bertline.params.finetune import Params
from bertline.stages.finetune.task import LabelledBatch, infer
from bertline.tokens.arrays import TokenizedSplit

MAX_ROWS = 20_000
"""Training rows that the statistics are computed from, at most."""

ROWS_OF_A_CLASS = 20
"""Rows that a class has among them, if it has as many, even where its share would be less."""


def fit_statistics(
    model: PreTrainedModel, train: TokenizedSplit, params: Params
) -> tuple[Statistics | None, dict[str, Any]]:
    """Return the statistics of `model`, None if it has no states, and facts for the report (collective).

    Raises:
        OutOfMemoryError: not even one row fits into memory.
        ValueError: a state is not finite.
    """
    linear = find_last_linear(model)
    if linear is None or not _reads_sequences(model, linear):
        return None, {"rows": 0, "reason": "no linear layer makes the logits from one state of each text"}
    rows_R = choose_rows(train.labels, params.seed)

    def compute(batch: LabelledBatch) -> torch.Tensor:
        # In float32 on a GPU, too: what is served is not bf16.
        states_SH = run_with_states(model, linear, batch.inputs)[1]
        assert states_SH is not None, "as the probe said"
        return mean_over_windows(states_SH.float(), batch.windows_B)

    states_RH = infer(
        model, train, rows_R, params.rows_at_once, collate_for(model), compute, linear.in_features
    )
    statistics = fit(states_RH, train.labels[rows_R])
    return statistics, {"rows": len(rows_R), "means": len(statistics.means_KH)}


def _reads_sequences(model: PreTrainedModel, linear: nn.Linear) -> bool:
    """Return whether `linear` reads one state of each sequence, not one of each token."""
    ids_ST = torch.arange(4, device=model.device)[None] % model.config.vocab_size
    with eval_mode(model), torch.inference_mode():
        return run_with_states(model, linear, {"input_ids": ids_ST})[1] is not None


def choose_rows(labels: np.ndarray, seed: int) -> np.ndarray:
    """Return the places of at most `MAX_ROWS` random rows, in their order, int64 [R].

    A class keeps `ROWS_OF_A_CLASS` rows, if it has as many, so that it gets a mean. There is no such rule
    where a row may have several labels, [N, C].
    """
    order_N = np.random.default_rng(seed).permutation(len(labels))
    if len(order_N) > MAX_ROWS and labels.ndim == 1:
        by_class_N = np.argsort(labels[order_N], kind="stable")
        sorted_N = labels[order_N][by_class_N]
        rank_N = np.empty(len(labels), np.int64)
        rank_N[by_class_N] = np.arange(len(labels)) - np.searchsorted(sorted_N, sorted_N)
        order_N = order_N[np.argsort(rank_N >= ROWS_OF_A_CLASS, kind="stable")]
    return np.sort(order_N[:MAX_ROWS])
