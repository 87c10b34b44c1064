import numpy as np

from bertline.training.process_group import World


def test_every_row_is_computed_by_one_process() -> None:
    for count in (1, 2, 5):
        shares = [World(rank, 3).local_rows(np.arange(count)) for rank in range(3)]
        assert sorted(row for rows, weight in shares if weight for row in rows) == list(range(count))


def test_every_process_gets_at_least_a_dummy_row() -> None:
    shares = [World(rank, 3).local_rows(np.arange(2)) for rank in range(3)]
    assert [len(rows) for rows, _ in shares] == [1, 1, 1]
    assert [weight for _, weight in shares] == [1, 1, 0]
