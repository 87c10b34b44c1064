import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bertline.evaluation.sampling import sampled

SIZES = st.integers(0, 300)


@given(SIZES, st.integers(1, 50), st.integers(0, 9))
def test_a_sample_has_distinct_rows_in_order_and_no_more_than_its_limit(
    n: int, limit: int, seed: int
) -> None:
    rows = sampled(n, limit, seed)
    assert len(rows) == min(n, limit)
    assert (np.diff(rows) > 0).all()
    assert ((rows >= 0) & (rows < n)).all()


@given(SIZES, st.integers(1, 50), st.integers(0, 9))
def test_a_sample_is_the_same_again(n: int, limit: int, seed: int) -> None:
    np.testing.assert_array_equal(sampled(n, limit, seed), sampled(n, limit, seed))


def test_every_row_is_drawn_by_some_seed() -> None:
    drawn = {int(row) for seed in range(100) for row in sampled(20, 5, seed)}
    assert drawn == set(range(20))
