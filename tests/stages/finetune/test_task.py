"""Fine-tuning as a whole: what each knob of the loop does to a small model that learns."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from bertline.params.finetune import Params
from bertline.stages.finetune.prepare import fine_tune, prepare
from bertline.tokens.arrays import TokenizedSplit
from bertline.tokens.manifest import Manifest
from bertline.training.checkpoints import Checkpoints
from bertline.training.history import Epoch, Step
from tests.support.tiny import CLASSES, make_texts

Splits = dict[str, TokenizedSplit]
Events = list[Step | Epoch]
Run = Callable[..., tuple[PreTrainedModel, Events]]


@pytest.fixture
def run(
    tiny_encoder: Path, splits: Splits, params: Callable[..., Params], manifest: Manifest, tmp_path: Path
) -> Run:
    def run(
        data: Splits = splits, *, multi_label: bool = False, dropout: bool = True, **knobs: object
    ) -> tuple[PreTrainedModel, Events]:
        settings = params(device="cpu", **knobs)
        described = replace(manifest, multi_label=multi_label)
        model = prepare(tiny_encoder, described, settings, torch.device("cpu"))
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout) and not dropout:
                module.p = 0.0
        scratch = Checkpoints("run", tmp_path / f"{len(list(tmp_path.iterdir()))}")
        return model, list(fine_tune(model, data, settings, scratch))

    return run


def epochs(events: Events) -> list[Epoch]:
    return [each for each in events if isinstance(each, Epoch)]


def losses(events: Events) -> list[float]:
    return [each.loss for each in events if isinstance(each, Step)]


KNOBS = [
    {"loss": "focal"},
    {"class_weights": "balanced"},
    {"label_smoothing": 0.1},
    {"r_drop": 1.0},
    {"schedule": "cosine"},
    {"ema_decay": 0.9},
    {"layer_decay": 0.9},
    {"reinit_layers": 1},
    {"unfreeze_epochs": 1},
    {"gradient_checkpointing": True},
    {"unpadded": False},
]


@pytest.mark.parametrize("knob", KNOBS, ids="-".join)
def test_a_model_learns_with_every_strategy(run: Run, knob: dict[str, object]) -> None:
    accuracy = epochs(run(epochs=12, learning_rate=5e-3, **knob)[1])[-1].scores["accuracy"]
    assert accuracy > 0.6  # chance is a third


@pytest.mark.parametrize("knob", KNOBS[:-2], ids="-".join)
def test_every_strategy_changes_the_training(run: Run, knob: dict[str, object]) -> None:
    (plain, _), (changed, _) = run(), run(**knob)
    assert any(
        not torch.equal(one, other)
        for one, other in zip(plain.state_dict().values(), changed.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("unpadded", [True, False])
@pytest.mark.parametrize(
    "knob", [{"micro_batch": 3}, {"gradient_checkpointing": True}], ids=["micro", "recompute"]
)
def test_saving_memory_does_not_change_the_losses(run: Run, knob: dict[str, object], unpadded: bool) -> None:
    whole, saved = (
        losses(run(dropout=False, unpadded=unpadded, class_weights="balanced", **each)[1])
        for each in ({}, knob)
    )
    np.testing.assert_allclose(saved, whole, rtol=2e-4)


def test_without_padding_the_losses_are_the_same(run: Run) -> None:
    padded, unpadded = (losses(run(dropout=False, unpadded=each)[1]) for each in (False, True))
    np.testing.assert_allclose(unpadded, padded, rtol=2e-4)


def test_recomputing_activations_goes_with_frozen_layers_on_disk(run: Run) -> None:
    plain, recomputed = (
        losses(run(frozen_layers=1, cache_activations=True, dropout=False, gradient_checkpointing=each)[1])
        for each in (False, True)
    )
    np.testing.assert_allclose(recomputed, plain, rtol=1e-5)


def test_a_label_that_every_row_has_is_learnt_with_balanced_weights(
    run: Run, tokenized: Callable[..., TokenizedSplit]
) -> None:
    rows = tokenized([(text, CLASSES[0]) for text, _ in make_texts(100)])
    data = dict.fromkeys(("train", "validation"), replace(rows, labels=np.ones((100, 3), np.uint8)))
    _, events = run(data, multi_label=True, epochs=4, class_weights="balanced")
    assert epochs(events)[-1].scores["accuracy"] == 1


def test_a_layer_that_is_drawn_anew_is_never_frozen(run: Run) -> None:
    with pytest.raises(ValueError, match="overlap"):
        run(frozen_layers=2, reinit_layers=1)


def test_training_stops_when_validation_no_longer_improves(run: Run) -> None:
    _, events = run(epochs=30, patience=2, learning_rate=0.3, max_grad_norm=100.0)
    scores = [each.scores["macro_f1"] for each in epochs(events)]
    assert len(scores) < 30
    assert max(scores[:-2]) >= max(scores)


def test_several_labels_a_row_are_learnt(
    run: Run, tokenized: Callable[..., TokenizedSplit], splits: Splits
) -> None:
    texts = [text for text, _ in make_texts(300)]
    present = np.array([["a" in text.split(), "my" in text.split()] for text in texts], np.uint8)
    rows = tokenized([(text, CLASSES[0]) for text in texts])
    several = np.concatenate([present, np.zeros((len(texts), 1), np.uint8)], axis=1)  # nothing has the third
    data = {"train": replace(rows, labels=several), "validation": replace(rows, labels=several)}
    model, events = run(data, multi_label=True, epochs=12, learning_rate=5e-3)
    assert model.config.problem_type == "multi_label_classification"
    assert epochs(events)[-1].scores["accuracy"] > 0.8  # both labels right: a quarter by chance
