"""The statistics of the out-of-scope score, from the states of training and validation rows.

Shape suffixes: N rows of a split, R those that are chosen, S sequences, T tokens, W width of a state.
"""

from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from bertline.encoder.collate import collate_padded, mean_over_windows
from bertline.encoder.layers import eval_mode
from bertline.head.class_gaussians import fit
from bertline.head.out_of_scope import Statistics
from bertline.head.states import find_reader, run_with_states
from bertline.params.finetune import Params
from bertline.stages.finetune.task import LabelledBatch, infer
from bertline.tokens.arrays import TokenizedSplit

MAX_ROWS = 20_000
"""Rows of a split that the statistics are computed from, at most."""

ROWS_OF_A_CLASS = 20
"""Rows that a class has among them, if it has as many, even where its share would be less."""


def fit_statistics(
    model: PreTrainedModel, splits: dict[str, TokenizedSplit], params: Params
) -> tuple[Statistics | None, dict[str, Any]]:
    """Return the statistics of `model`, None if it has no states, and facts for the report (collective).

    Raises:
        OutOfMemoryError: not even one row fits into memory.
        ValueError: a state is not finite.
    """
    # A compiled model may ignore the hooks that keep the states.
    with torch.compiler.set_stance("force_eager") if params.compile else nullcontext():
        return _fit(model, splits, params)


def _fit(
    model: PreTrainedModel, splits: dict[str, TokenizedSplit], params: Params
) -> tuple[Statistics | None, dict[str, Any]]:
    reader = find_reader(model, Statistics.reader)
    if reader is None:
        return None, {"rows": 0, "reason": "no linear layer makes the logits from one state of each text"}
    rows = {name: choose_rows(split.labels, params.seed) for name, split in splits.items()}

    def compute(batch: LabelledBatch) -> torch.Tensor:
        # In float32 on a GPU, too: what is served is not bf16.
        states_SW = run_with_states(model, reader, batch.inputs)[1]
        assert states_SW is not None, "there is a reader"
        return mean_over_windows(states_SW.float(), batch.windows_B)

    width = _width(model, reader)
    # Padded, as it is served: an unpadded model has no tokens of each text in its middle.
    collate = collate_padded(model.config)
    states = {
        name: infer(model, split, rows[name], params.rows_at_once, collate, compute, width)
        for name, split in splits.items()
    }
    widths = (reader.in_features, width - reader.in_features)
    statistics = fit(
        states["train"],
        splits["train"].labels[rows["train"]],
        widths=tuple(filter(None, widths)),
        held_out_MW=states["validation"],
    )
    return statistics, {"rows": len(rows["train"]), "means": len(statistics.parts[0].means_KH)}


def _width(model: PreTrainedModel, reader: nn.Linear) -> int:
    """Return the width of the states that `run_with_states` returns."""
    ids_ST = torch.arange(4, device=model.device)[None] % model.config.vocab_size
    with eval_mode(model), torch.inference_mode():
        states_SW = run_with_states(model, reader, {"input_ids": ids_ST})[1]
    assert states_SW is not None, "there is a reader"
    return states_SW.shape[1]


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
