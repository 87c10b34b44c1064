import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import BertConfig, XLNetConfig

from bertline.encoder.collate import collate_padded, mean_over_windows, window_counts
from bertline.encoder.ordering import sorted_order, training_order
from bertline.tokens.arrays import Tokens

LENGTHS = st.lists(st.integers(2, 128), min_size=1, max_size=300).map(np.array)


@settings(deadline=None)
@given(lengths=LENGTHS, batch_size=st.integers(1, 40), epoch=st.integers(1, 5))
def test_every_row_is_served_once_an_epoch(lengths: np.ndarray, batch_size: int, epoch: int) -> None:
    order = training_order(lengths, batch_size, seed=3, epoch=epoch)
    assert sorted(np.concatenate(order)) == list(range(len(lengths)))
    assert sorted(np.concatenate(sorted_order(lengths, batch_size))) == list(range(len(lengths)))


def test_the_order_is_a_pure_function_of_seed_and_epoch() -> None:
    lengths = np.random.default_rng(0).integers(2, 60, size=500)

    def order(seed: int, epoch: int) -> list[list[int]]:
        return [rows.tolist() for rows in training_order(lengths, 16, seed=seed, epoch=epoch)]

    assert order(1, 1) == order(1, 1)
    assert order(1, 1) != order(1, 2)
    assert order(1, 1) != order(2, 1)


def test_buckets_leave_little_padding() -> None:
    lengths = np.random.default_rng(0).integers(2, 128, size=3200)

    def padded(order: list[np.ndarray]) -> int:
        return sum(int(lengths[rows].max()) * len(rows) for rows in order)

    random = list(np.array_split(np.arange(3200), 100))
    assert padded(training_order(lengths, 32, seed=1, epoch=1)) < 1.1 * lengths.sum() < padded(random)


def test_padding_is_on_the_right_and_masked() -> None:
    tokens = Tokens(input_ids=np.array([2, 5, 3, 2, 3], np.int32), offsets=np.array([0, 3, 5]))
    inputs = collate_padded(BertConfig(pad_token_id=9))(tokens, np.array([0, 1]))
    assert inputs["input_ids"].tolist() == [[2, 5, 3], [2, 3, 9]]
    assert inputs["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]


def test_padding_is_on_the_left_where_a_head_reads_the_last_token() -> None:
    tokens = Tokens(input_ids=np.array([2, 5, 3, 2, 3], np.int32), offsets=np.array([0, 3, 5]))
    inputs = collate_padded(XLNetConfig(pad_token_id=9))(tokens, np.array([0, 1]))
    assert inputs["input_ids"].tolist() == [[2, 5, 3], [9, 2, 3]]
    assert inputs["attention_mask"].tolist() == [[1, 1, 1], [0, 1, 1]]


def test_the_logits_of_a_text_are_the_mean_of_its_windows() -> None:
    logits_SC = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 0.0]])
    assert mean_over_windows(logits_SC, torch.tensor([2, 1])).tolist() == [[2.0, 3.0], [5.0, 0.0]]


def test_the_windows_of_a_row_are_found_in_any_order_of_rows() -> None:
    tokens = Tokens(
        input_ids=np.arange(8, dtype=np.int32),
        offsets=np.array([0, 3, 5, 8]),
        row_offsets=np.array([0, 2, 3]),
    )
    rows = np.array([1, 0])
    assert tokens.sequences(rows).tolist() == [2, 0, 1]
    assert tokens.lengths.tolist() == [5, 3]
    found = window_counts(tokens, rows)
    assert found is not None
    assert found.tolist() == [1, 2]


@pytest.mark.parametrize("rows", [1, 31, 32, 33])
def test_only_one_batch_is_short(rows: int) -> None:
    sizes = sorted(len(each) for each in training_order(np.full(rows, 5), 32, seed=1, epoch=1))
    assert all(size == 32 for size in sizes[1:])
