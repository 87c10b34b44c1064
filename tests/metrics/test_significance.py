import numpy as np
import pytest

from bertline.metrics.significance import mcnemar, q_values


def test_mcnemar_equals_the_binomial_by_hand() -> None:
    a = np.array([True] * 8 + [False] * 2)  # right where b is wrong: 4 rows; the other way round: 1 row
    b = np.array([False] * 4 + [True] * 5 + [False])
    assert mcnemar(a, b) == pytest.approx(2 * (1 + 5) / 2**5)


def test_mcnemar_of_equal_predictions_is_one() -> None:
    assert mcnemar(np.zeros(3, dtype=bool), np.zeros(3, dtype=bool)) == 1.0


def test_q_values_equal_those_by_hand() -> None:
    # 4/1 * 0.01, 4/2 * 0.02, 4/3 * 0.03, 4/4 * 0.5
    assert q_values([0.01, 0.5, 0.02, 0.03]) == pytest.approx([0.04, 0.5, 0.04, 0.04])


def test_no_tests_have_no_q_values() -> None:
    assert q_values([]) == []
