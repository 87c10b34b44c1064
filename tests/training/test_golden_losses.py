"""Seeded losses of `adapt` and `finetune` against those in a file: a refactor must not change them."""

import json

import numpy as np
import pytest

from tests.support.golden_losses import ADAPT, FINETUNE, train_all
from tests.support.params import SHIPPED_PARAMS
from tests.support.tiny import PROJECT

GOLDEN: dict[str, list[float]] = json.loads((PROJECT / "tests/golden/losses.json").read_text())
TRAININGS = [*(f"adapt/{name}" for name in ADAPT), *(f"finetune/{name}" for name in FINETUNE)]


@pytest.fixture(scope="module")
def losses() -> dict[str, list[float]]:
    outcomes = train_all(SHIPPED_PARAMS)
    return {name: outcome["losses"] for name, outcome in outcomes.items()}


@pytest.mark.parametrize("training", TRAININGS)
def test_seeded_losses_are_those_of_the_golden_file(training: str, losses: dict[str, list[float]]) -> None:
    assert len(losses[training]) == 30
    np.testing.assert_allclose(losses[training], GOLDEN[training], rtol=1e-4)


def test_the_golden_file_holds_every_training() -> None:
    assert [*GOLDEN] == TRAININGS
