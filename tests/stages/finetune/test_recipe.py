"""The numbers that the recipe gives, and how settings become numbers."""

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertline.params.finetune import Params, Resolved
from bertline.stages.finetune.recipe import (
    FEWEST_EPOCHS,
    HIGHEST_RATE,
    LORA_FACTOR,
    LOWEST_RATE,
    MOST_EPOCHS,
    choose_epochs,
    choose_learning_rate,
    resolve,
)
from tests.support.params import section

ROWS, CLASSES, BATCH = st.integers(1, 10**8), st.integers(1, 10**4), st.integers(1, 4096)
LAYERS, HIDDEN = st.integers(0, 96), st.integers(1, 16384)
MINILM = {"layers": 6, "hidden_size": 384}


@given(ROWS, CLASSES, BATCH)
def test_epochs_stay_within_their_bounds(rows: int, classes: int, batch_size: int) -> None:
    assert FEWEST_EPOCHS <= choose_epochs(rows, classes, batch_size) <= MOST_EPOCHS


@given(ROWS, ROWS, CLASSES, BATCH)
def test_more_rows_never_get_more_epochs(few: int, more: int, classes: int, batch_size: int) -> None:
    few, more = sorted((few, more))
    assert choose_epochs(few, classes, batch_size) >= choose_epochs(more, classes, batch_size)


@given(ROWS, CLASSES, CLASSES, BATCH)
def test_more_classes_never_get_fewer_epochs(rows: int, few: int, more: int, batch_size: int) -> None:
    few, more = sorted((few, more))
    assert choose_epochs(rows, few, batch_size) <= choose_epochs(rows, more, batch_size)


@given(ROWS, CLASSES, BATCH, BATCH)
def test_larger_batches_never_get_fewer_epochs(rows: int, classes: int, small: int, large: int) -> None:
    small, large = sorted((small, large))
    assert choose_epochs(rows, classes, small) <= choose_epochs(rows, classes, large)


@given(LAYERS, LAYERS, HIDDEN, HIDDEN, st.booleans())
def test_larger_encoders_never_get_a_higher_rate(
    layers: int, more_layers: int, hidden: int, more_hidden: int, low_rank: bool
) -> None:
    (layers, more_layers), (hidden, more_hidden) = (
        sorted((layers, more_layers)),
        sorted((hidden, more_hidden)),
    )
    small = choose_learning_rate(layers, hidden, low_rank=low_rank)
    large = choose_learning_rate(more_layers, more_hidden, low_rank=low_rank)
    assert LOWEST_RATE <= large <= small <= HIGHEST_RATE * LORA_FACTOR


@pytest.mark.parametrize(
    ("layers", "hidden_size", "rate"), [(6, 384, 2e-4), (12, 768, 5e-5), (24, 1024, 1.9e-5)]
)
def test_known_encoders_get_their_known_rates(layers: int, hidden_size: int, rate: float) -> None:
    assert choose_learning_rate(layers, hidden_size) == rate


def test_the_sample_gets_four_epochs_and_77_intents_ten() -> None:
    assert choose_epochs(rows=4035, classes=6, batch_size=32) == 4
    assert choose_epochs(rows=8900, classes=77, batch_size=32) == 10


def test_what_was_auto_becomes_a_number_with_a_line_that_says_why() -> None:
    resolved, lines = resolve(section("finetune"), rows=8900, classes=77, **MINILM)
    assert (resolved.epochs, resolved.learning_rate) == (10, 2e-4)
    assert lines == [
        "epochs: auto -> 10 for 8,900 rows in 77 classes at batch size 32",
        "learning_rate: auto -> 0.0002 for 6 trained layers of 384 units",
    ]


def test_numbers_of_the_user_stay_and_nothing_is_said() -> None:
    params = section("finetune", epochs=5, learning_rate=1e-3)
    resolved, lines = resolve(params, rows=8900, classes=77, **MINILM)
    assert (resolved.epochs, resolved.learning_rate, lines) == (5, 1e-3, [])


def test_every_other_setting_stays() -> None:
    params = section("finetune", seed=9, warmup=0.2, lora_rank=4)
    resolved, _ = resolve(params, rows=100, classes=2, **MINILM)
    others = {field.name for field in fields(Params)} - {"epochs", "learning_rate"}
    assert isinstance(resolved, Resolved)
    assert all(getattr(resolved, name) == getattr(params, name) for name in others)


@pytest.mark.parametrize(
    ("changes", "rate"),
    [
        ({"layers": 3}, 4e-4),
        ({"frozen_layers": 4}, 6e-4),
        ({"frozen_layers": 0}, 2e-4),
        ({"lora_rank": 8}, 2e-3),
    ],
)
def test_the_rate_is_that_of_the_part_that_is_trained(changes: dict[str, object], rate: float) -> None:
    resolved, _ = resolve(section("finetune", **changes), rows=100, classes=2, **MINILM)
    assert resolved.learning_rate == rate


@pytest.mark.parametrize("changes", [{"patience": 3}, {"unfreeze_epochs": 3}])
def test_a_setting_that_needs_more_epochs_than_auto_gives_names_the_way_out(changes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"set finetune\.epochs to a number") as error:
        resolve(section("finetune", **changes), rows=100_000, classes=2, **MINILM)
    [name] = changes
    assert f"finetune.epochs is auto, which is 3 for these data, and {name} is 3; allowed: " in str(
        error.value
    )


def test_patience_under_the_epochs_that_auto_gives_is_allowed() -> None:
    resolved, _ = resolve(section("finetune", patience=5), rows=300, classes=10, **MINILM)
    assert resolved.patience == 5
    assert resolved.epochs > 5
