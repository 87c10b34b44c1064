import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from bertline.encoder.classifier import build_classifier
from bertline.encoder.collate import collate_padded
from bertline.params.finetune import Params
from bertline.stages.finetune.task import Classification
from bertline.tokens.arrays import TokenizedSplit
from bertline.training.checkpoints import Checkpoints
from bertline.training.determinism import make_deterministic
from bertline.training.ema import Ema
from bertline.training.history import Epoch, Step
from bertline.training.loop import train
from tests.support.tiny import CLASSES

Splits = dict[str, TokenizedSplit]
MakeParams = Callable[..., Params]


def moved(model: nn.Module, average: Ema, steps: int) -> list[torch.Tensor]:
    """Draw new weights `steps` times, take each into the average, and return them."""
    seen = []
    for step in range(1, steps + 1):
        with torch.no_grad():
            model.weight.normal_()
        seen.append(model.weight.detach().double())
        average.update(step)
    return seen


def test_an_average_is_that_of_the_formula() -> None:
    torch.manual_seed(0)
    model = nn.Linear(4, 3)
    expected, average = model.weight.detach().double(), Ema(model, 0.6)
    for step, weight in enumerate(moved(model, average, 12), start=1):
        decay = min(0.6, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weight
    torch.testing.assert_close(average.averages["weight"].double(), expected, rtol=1e-5, atol=1e-6)


def test_an_average_forgets_where_it_started() -> None:
    model = nn.Linear(4, 3)
    average = Ema(model, 0.999)
    with torch.no_grad():
        model.weight.fill_(1.0)
    for step in range(1, 201):
        average.update(step)
    torch.testing.assert_close(average.averages["weight"], torch.ones(3, 4), rtol=1e-4, atol=1e-4)


def test_weights_that_are_not_trained_are_not_averaged() -> None:
    model = nn.Linear(4, 3)
    model.bias.requires_grad_(False)
    assert list(Ema(model, 0.9).averages) == ["weight"]


def test_the_average_is_in_place_within_the_block_only() -> None:
    model = nn.Linear(4, 3)
    average = Ema(model, 0.9)
    moved(model, average, 5)
    weight, averaged = model.weight.detach().clone(), average.averages["weight"].clone()
    with average.swapped_in():
        assert torch.equal(model.weight, averaged)
    assert torch.equal(model.weight, weight)
    assert torch.equal(average.averages["weight"], averaged)


def test_weights_are_put_back_after_an_error_and_train_on() -> None:
    model = nn.Linear(4, 3)
    average = Ema(model, 0.9)
    moved(model, average, 5)
    weight, averaged = model.weight.detach().clone(), average.averages["weight"].clone()
    with pytest.raises(RuntimeError, match="within"), average.swapped_in():
        raise RuntimeError("within")
    assert torch.equal(model.weight, weight)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    model(torch.ones(2, 4)).sum().backward()
    optimizer.step()
    assert not torch.equal(model.weight, weight)
    assert torch.equal(average.averages["weight"], averaged)


def test_an_average_costs_no_more_memory_than_the_weights_once() -> None:
    model = nn.Linear(4, 3)
    average = Ema(model, 0.9)
    before = {model.weight.data_ptr(), average.averages["weight"].data_ptr()}
    with average.swapped_in():
        assert {model.weight.data_ptr(), average.averages["weight"].data_ptr()} == before


def run(encoder: Path, splits: Splits, params: Params, scratch: Path, stop_after: int | None = None) -> str:
    """Return the hash of the averages in the last checkpoint of a run; the caller may end it early."""
    make_deterministic(params.seed, params.threads)
    model = build_classifier(encoder, CLASSES)
    checkpoints = Checkpoints("run", scratch)
    task = Classification(splits, params, collate_padded(model.config))
    for event in train(model, task, params, checkpoints):
        if isinstance(event, Step) and event.step == stop_after:
            break
        if isinstance(event, Epoch) and event.epoch == params.epochs:  # what ends keeps no checkpoint
            break
    saved = checkpoints.load()
    assert saved is not None
    averages = {name: each for name, each in saved[0].items() if name.startswith("average.")}
    assert averages
    return hashlib.sha256(b"".join(averages[name].numpy().tobytes() for name in sorted(averages))).hexdigest()


@pytest.mark.parametrize("stop_after", [6, 14, 17])
def test_a_resumed_run_has_the_same_average(
    tiny_encoder: Path, splits: Splits, params: MakeParams, tmp_path: Path, stop_after: int
) -> None:
    settings = params(ema_decay=0.9, device="cpu")
    whole = run(tiny_encoder, splits, settings, tmp_path / "whole")
    assert run(tiny_encoder, splits, settings, tmp_path / "cut", stop_after) != whole
    assert run(tiny_encoder, splits, settings, tmp_path / "cut") == whole


def test_the_average_is_what_is_validated_and_kept(
    tiny_encoder: Path, splits: Splits, params: MakeParams, tmp_path: Path
) -> None:
    settings = params(ema_decay=0.9, device="cpu", epochs=1)
    run(tiny_encoder, splits, settings, tmp_path)
    checkpoints = Checkpoints("run", tmp_path)
    saved = checkpoints.load()
    assert saved is not None
    best = checkpoints.load_best()
    for name, each in best.items():
        assert torch.equal(each, saved[0].get(f"average.{name}", saved[0][f"model.{name}"])), name
        assert f"average.{name}" not in saved[0] or not torch.equal(each, saved[0][f"model.{name}"]), name
