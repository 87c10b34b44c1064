"""What the curves of a training are told to mean: each warning, and none for a sane training."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bertline.encoder.collate import collate_for
from bertline.params.finetune import Resolved
from bertline.stages.finetune.diagnosis import diagnose
from bertline.stages.finetune.prepare import fine_tune, prepare
from bertline.stages.finetune.task import predict, predict_classes_of
from bertline.tokens.arrays import TokenizedSplit
from bertline.tokens.manifest import Manifest
from bertline.training.checkpoints import Checkpoints
from bertline.training.history import Epoch, History, Step
from tests.support.params import section

PARAMS = Resolved(**vars(section("finetune", epochs=3, learning_rate=2e-4)))
CLASSES = ("animal", "place", "number")
TARGETS = np.repeat([0, 1, 2], 200)

SANE = [(1.0, 0.55, 0.85), (0.45, 0.38, 0.900), (0.30, 0.35, 0.905)]
"""Train loss, validation loss and accuracy of each epoch."""
STEPS_FALL = np.linspace(1.1, 0.3, 60)


def training(epochs: Sequence[tuple[float, float, float]], steps: Sequence[float] = STEPS_FALL) -> History:
    taken: History = [
        Step(step=i, loss=loss, learning_rate=1e-4, examples=32, micro_batch=32)
        for i, loss in enumerate(steps, start=1)
    ]
    return taken + [
        Epoch(epoch=i, train_loss=train, scores={"loss": loss, "accuracy": accuracy, "macro_f1": accuracy})
        for i, (train, loss, accuracy) in enumerate(epochs, start=1)
    ]


def warnings(
    epochs: Sequence[tuple[float, float, float]],
    *,
    steps: Sequence[float] = STEPS_FALL,
    predicted: np.ndarray = TARGETS,
    targets: np.ndarray = TARGETS,
    rate_is_auto: bool = True,
    batch_size: int = 32,
) -> list[str]:
    params = replace(PARAMS, epochs=len(epochs), batch_size=batch_size)
    history = training(epochs, steps)
    return diagnose(history, targets, predicted, CLASSES, params, rate_is_auto=rate_is_auto)


def test_a_sane_training_gives_no_warning() -> None:
    assert warnings(SANE) == []


def test_a_real_training_that_has_learnt_all_gives_no_warning(
    tiny_encoder: Path,
    manifest: Manifest,
    splits: dict[str, TokenizedSplit],
    params: Callable[..., Resolved],
    tmp_path: Path,
) -> None:
    settings = params(epochs=20, device="cpu")
    model = prepare(tiny_encoder, manifest, settings, torch.device("cpu"))
    history = list(fine_tune(model, splits, settings, Checkpoints("run", tmp_path)))
    validation = splits["validation"]
    logits_NC = predict(model, validation, settings.rows_at_once, collate_for(model))
    predicted = predict_classes_of(logits_NC, like=validation.labels)
    assert (
        diagnose(history, validation.labels, predicted, manifest.classes, settings, rate_is_auto=False) == []
    )


def test_an_accuracy_that_still_rises_asks_for_twice_the_epochs() -> None:
    [warning] = warnings([(2.0, 1.5, 0.60), (1.2, 1.0, 0.75), (0.8, 0.7, 0.85)])
    assert "still rising" in warning
    assert "accuracy 0.750 up to epoch 2, 0.850 after it" in warning
    assert warning.endswith("set finetune.epochs: 6")


def test_a_rise_within_the_noise_of_the_validation_rows_is_none() -> None:
    assert warnings([(1.0, 0.5, 0.88), (0.4, 0.4, 0.900), (0.3, 0.38, 0.920)]) == []


def test_a_training_that_patience_stopped_is_not_asked_to_go_on() -> None:
    rising = training([(2.0, 1.5, 0.60), (1.2, 1.0, 0.75), (0.8, 0.7, 0.85)])
    assert diagnose(rising, TARGETS, TARGETS, CLASSES, replace(PARAMS, epochs=9), rate_is_auto=True) == []


def test_one_epoch_alone_shows_no_trend() -> None:
    assert warnings([(1.0, 0.5, 0.6)]) == []


OVERFITTING = [(1.0, 0.50, 0.80), (0.5, 0.40, 0.85), (0.2, 0.6, 0.85), (0.1, 0.8, 0.84), (0.05, 0.9, 0.85)]


def test_a_validation_loss_that_rises_for_nothing_asks_for_fewer_epochs() -> None:
    [warning] = warnings(OVERFITTING)
    assert "overfits: the validation loss rose from 0.4 after epoch 2 to 0.9" in warning
    assert warning.endswith("set finetune.epochs: 3")


def test_a_rising_loss_with_a_rising_accuracy_is_no_overfitting() -> None:
    better = [(train, loss, accuracy + 0.02 * i) for i, (train, loss, accuracy) in enumerate(OVERFITTING)]
    assert warnings(better) == []


def test_a_rising_validation_loss_while_the_training_loss_rises_too_is_no_overfitting() -> None:
    assert warnings([(1 + i, loss, accuracy) for i, (_, loss, accuracy) in enumerate(OVERFITTING)]) == []


@pytest.mark.parametrize("steps", [np.full(60, 1.1), np.linspace(1.1, 1.05, 60), np.linspace(0.5, 3.0, 60)])
def test_a_loss_that_did_not_fall_asks_for_a_lower_rate(steps: np.ndarray) -> None:
    [warning] = warnings(SANE, steps=steps)
    assert warning.startswith("the training loss did not fall")
    assert "set finetune.learning_rate: 5e-05, or check the labels" in warning


def test_a_loss_that_did_not_fall_at_a_rate_of_the_user_asks_for_that_of_the_recipe() -> None:
    [warning] = warnings(SANE, steps=np.full(60, 1.1), rate_is_auto=False)
    assert "set finetune.learning_rate: auto, or check the labels" in warning


def test_a_loss_that_did_not_fall_in_few_steps_of_large_batches_asks_for_smaller_ones() -> None:
    [warning] = warnings(SANE, steps=np.full(30, 1.1), batch_size=1000)
    assert "in 30 steps" in warning
    assert warning.endswith("set finetune.batch_size: 125")


def test_a_loss_that_fell_within_the_first_thousand_of_many_steps_has_fallen() -> None:
    assert warnings(SANE, steps=np.append(np.linspace(1.1, 0.7, 1_000), np.full(19_000, 0.7))) == []


def test_a_loss_that_did_not_fall_is_not_called_rising_or_overfitting_too() -> None:
    [warning] = warnings([(2.0, 1.5, 0.60), (1.2, 1.0, 0.75), (0.8, 0.7, 0.85)], steps=np.full(60, 1.1))
    assert warning.startswith("the training loss did not fall")


ENDED = [*SANE, (0.25, 0.36, 0.904)]
"""The third epoch is the best."""


@pytest.mark.parametrize(
    ("epochs", "remedy"),
    [(SANE, "finetune.epochs: 6"), (ENDED, "finetune.class_weights: balanced")],
    ids=["the last epoch is the best", "it is not"],
)
def test_a_class_that_is_never_predicted_is_named_with_its_rows_and_a_remedy(
    epochs: Sequence[tuple[float, float, float]], remedy: str
) -> None:
    [warning] = warnings(epochs, predicted=np.where(TARGETS == 1, 0, TARGETS))
    assert warning.startswith(f"never predicted on validation: place (200 rows): set {remedy}, or add rows")


def test_a_class_of_few_validation_rows_is_not_named() -> None:
    targets = np.array([0] * 300 + [1] * 300 + [2] * 4)
    assert warnings(SANE, targets=targets, predicted=np.minimum(targets, 1)) == []


def test_at_most_five_classes_are_named_the_largest_first() -> None:
    classes = [f"class {i}" for i in range(9)]
    targets = np.repeat(np.arange(9), range(10, 19))
    [warning] = diagnose(training(SANE), targets, np.zeros_like(targets), classes, PARAMS, rate_is_auto=True)
    names = ", ".join(f"class {i} ({i + 10} rows)" for i in (8, 7, 6, 5, 4))
    assert f"never predicted on validation: {names} and 3 more: " in warning


def test_a_label_that_no_row_is_predicted_to_have_is_named_where_rows_have_several() -> None:
    targets = np.tile(np.array([[1, 0, 1], [0, 1, 0]], np.uint8), (100, 1))
    predicted = targets * np.array([1, 1, 0], np.uint8)
    [warning] = warnings(SANE, targets=targets, predicted=predicted)
    assert warning.startswith("never predicted on validation: number (100 rows)")
