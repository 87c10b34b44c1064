from dataclasses import replace

import numpy as np
import pytest

from bertline.stages.export.parity import Parity, choose, compare
from tests.support.params import section

SETTINGS = {"resamples": 200, "confidence": 0.95, "seed": 1}
EQUAL = Parity(max_difference=1e-6, flips=0.0, flips_high=0.01, loss=0.0, loss_low=-0.01)


def test_equal_logits_flip_nothing_and_lose_nothing() -> None:
    logits_NC = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    found = compare(logits_NC.argmax(1), logits_NC, logits_NC, **SETTINGS)
    assert (found.max_difference, found.flips, found.loss) == (0, 0, 0)


def test_flips_and_losses_are_shares_of_the_rows() -> None:
    logits_NC = np.eye(4, dtype=np.float32).repeat(25, axis=0)
    exported_NC = logits_NC.copy()
    exported_NC[:10] = logits_NC[99]
    expected = logits_NC.argmax(1)
    expected[:4] = 3  # four of the ten that flip were wrong before, and are right now
    found = compare(expected, logits_NC, exported_NC, **SETTINGS)
    assert found.flips == pytest.approx(0.1)
    assert found.flips_high > 0.15
    assert found.loss == pytest.approx(0.02)
    assert found.loss_low < 0.02


def test_with_several_labels_a_row_flips_if_one_of_them_does() -> None:
    logits_NC = np.array([[2.0, -1.0], [1.0, 1.0]], np.float32)
    found = compare(np.array([[1, 0], [1, 1]]), logits_NC, logits_NC * [[1, -1], [1, 1]], **SETTINGS)
    assert found.flips == 0.5


@pytest.mark.parametrize(
    ("fp32", "int8", "served", "why"),
    [
        ({}, {}, "int8", "0.0% of the answers flip"),
        ({}, {"flips_high": 0.031}, "fp32", "export.max_flips allows 3.0%"),
        ({}, {"loss": 0.011}, "fp32", "export.max_loss allows 1.0"),
        ({"max_difference": 0.1}, {}, "torch", "the exported graph differs from torch"),
    ],
)
def test_what_is_served_is_the_smallest_file_that_answers_alike(
    fp32: dict[str, float], int8: dict[str, float], served: str, why: str
) -> None:
    precision, reason = choose(section("export"), replace(EQUAL, **fp32), replace(EQUAL, **int8))
    assert precision == served
    assert why in reason
