from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from bertline.encoder.collate import collate_padded
from bertline.encoder.unpadding import enable_unpadding
from bertline.head.class_gaussians import fit
from bertline.head.out_of_scope import Statistics, score
from bertline.params.finetune import Params
from bertline.stages.finetune import statistics
from bertline.stages.finetune.statistics import choose_rows, fit_statistics
from bertline.tokens.arrays import TokenizedSplit
from tests.support.architectures import build

SPLIT = TokenizedSplit(
    input_ids=np.arange(200, dtype=np.int32) % 37 + 3,
    offsets=np.array([0, *np.cumsum([3, 7] * 20)]),
    labels=np.arange(40) % 3,
)
ROWS = np.arange(len(SPLIT))


def distances(states: np.ndarray, fitted: Statistics | None) -> np.ndarray:
    logits = np.zeros((len(states), 3), np.float32)
    return score("mahalanobis", logits, states, multi_label=False, statistics=fitted)


def states_of(model: PreTrainedModel) -> np.ndarray:
    """Return the states of the sequences of a BERT of three layers, one by one, by its modules."""
    states = []
    with torch.inference_mode():
        for i in ROWS:
            inputs = collate_padded(model.config)(SPLIT, ROWS[i : i + 1])
            hidden = model.eval().bert(**inputs, output_hidden_states=True).hidden_states
            states.append(torch.cat([hidden[-1][0, 0], hidden[2][0].mean(dim=0)]))
    return torch.stack(states).numpy()


@pytest.mark.parametrize("unpadded", [True, False])
def test_the_statistics_are_those_of_each_text_alone(
    params: Callable[..., Params], *, unpadded: bool
) -> None:
    model = build("bert")
    states = states_of(model)
    assert not unpadded or enable_unpadding(model)
    fitted, facts = fit_statistics(model, {"train": SPLIT, "validation": SPLIT}, params())
    expected = fit(states, SPLIT.labels, widths=(16, 16), held_out_MW=states)
    assert facts == {"rows": 40, "means": 3}
    np.testing.assert_allclose(distances(states, fitted), distances(states, expected), rtol=1e-3)


def test_the_state_of_a_long_text_is_the_mean_over_its_windows(params: Callable[..., Params]) -> None:
    model, pairs = build("bert"), np.arange(0, 41, 2)
    states = states_of(model).reshape(20, 2, -1).mean(axis=1)
    windows = replace(SPLIT, row_offsets=pairs, labels=SPLIT.labels[:20])
    fitted, _ = fit_statistics(model, {"train": windows, "validation": windows}, params())
    expected = fit(states, windows.labels, widths=(16, 16), held_out_MW=states)
    np.testing.assert_allclose(distances(states, fitted), distances(states, expected), rtol=1e-3)


def test_a_model_whose_last_layer_reads_each_token_has_none(params: Callable[..., Params]) -> None:
    model = build("gpt2", n_embd=16, n_layer=2, n_head=2)
    assert fit_statistics(model, {"train": SPLIT, "validation": SPLIT}, params()) == (
        None,
        {"rows": 0, "reason": "no linear layer makes the logits from one state of each text"},
    )


def test_few_rows_are_all_used() -> None:
    assert np.array_equal(choose_rows(SPLIT.labels, 1), ROWS)


def test_of_many_rows_a_seeded_part_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "MAX_ROWS", 30)
    labels = np.zeros(1000, int)
    chosen = choose_rows(labels, 1)
    assert len(np.unique(chosen)) == 30
    assert np.array_equal(chosen, choose_rows(labels, 1))
    assert not np.array_equal(chosen, choose_rows(labels, 2))


def test_a_rare_class_is_among_the_chosen_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "MAX_ROWS", 60)
    labels = np.repeat([0, 1, 0, 2], [2000, 3, 3000, 50])
    rows = np.bincount(labels[choose_rows(labels, 1)])
    assert (rows.sum(), rows[1], rows[2]) == (60, 3, 20)
