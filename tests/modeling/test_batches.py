import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertline.modeling.batches import pad, sorted_order, training_order

LENGTHS = st.lists(st.integers(2, 128), min_size=1, max_size=300).map(np.array)


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
    ids_BT, mask_BT = pad([np.array([2, 5, 3]), np.array([2, 3])], pad_id=9)
    assert ids_BT.tolist() == [[2, 5, 3], [2, 3, 9]]
    assert mask_BT.tolist() == [[1, 1, 1], [1, 1, 0]]


@pytest.mark.parametrize("rows", [1, 31, 32, 33])
def test_only_one_batch_is_short(rows: int) -> None:
    sizes = sorted(len(each) for each in training_order(np.full(rows, 5), 32, seed=1, epoch=1))
    assert all(size == 32 for size in sizes[1:])
