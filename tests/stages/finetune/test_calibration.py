"""A temperature in the weights: on tiny models of every kind, whose logits are made too large first."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers import PreTrainedModel

from bertline.encoder.collate import collate_for
from bertline.encoder.unpadding import enable_unpadding, is_unpadding_enabled
from bertline.head.last_linear import find_last_linear, scale_logits
from bertline.metrics.temperature import BOUNDS, MIN_ROWS
from bertline.params.finetune import Params
from bertline.stages.finetune.calibration import TIE, calibrate, changed_answers
from bertline.stages.finetune.prepare import fine_tune, prepare
from bertline.stages.finetune.task import predict
from bertline.tokens.arrays import TokenizedSplit
from bertline.tokens.manifest import Manifest
from bertline.training.checkpoints import Checkpoints
from tests.support.architectures import SIZES, build, weights

MakeParams = Callable[..., Params]
KINDS = [*SIZES, "albert"]


@pytest.fixture(scope="session")
def validation() -> TokenizedSplit:
    """Rows of random tokens and classes, 300 of them."""
    random = np.random.default_rng(1)
    lengths = random.integers(3, 12, size=300)
    return TokenizedSplit(
        input_ids=random.integers(3, 40, size=lengths.sum()).astype(np.int32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        labels=random.integers(3, size=300),
    )


def of_labels(split: TokenizedSplit) -> TokenizedSplit:
    """The same rows with several labels: each third row has none, or all."""
    sets = np.stack([split.labels == 0, split.labels != 1, np.arange(len(split)) < 10], axis=1)
    return replace(split, labels=sets.astype(np.uint8))


def logits(model: PreTrainedModel, split: TokenizedSplit) -> np.ndarray:
    return predict(model, split, 16, collate_for(model))


def make_overconfident(model: PreTrainedModel, split: TokenizedSplit) -> PreTrainedModel:
    """Give the logits of each class mean 0 and standard deviation 8 on `split`, and return the model."""
    found_NC = torch.from_numpy(logits(model, split))
    linear = find_last_linear(model)
    assert linear is not None
    with torch.no_grad():
        linear.bias -= found_NC.mean(dim=0)
    scale_logits(linear, 8 / found_NC.std(dim=0))
    return model


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_logits_are_divided_by_the_temperature(
    kind: str, several: bool, validation: TokenizedSplit, params: MakeParams
) -> None:
    split = of_labels(validation) if several else validation
    model = make_overconfident(build(kind), split)
    before = logits(model, split)
    found = calibrate(model, split, params())
    assert found.temperature.reason is None
    assert (found.temperature.values_C != 1).all()
    np.testing.assert_allclose(logits(model, split) * found.temperature.values_C, before, atol=1e-4)


def test_the_mean_logits_of_windows_are_divided(validation: TokenizedSplit, params: MakeParams) -> None:
    windows = np.arange(0, 301, 3)  # of each row three
    split = replace(validation, labels=validation.labels[:100], row_offsets=windows)
    model = make_overconfident(build("bert"), split)
    before = logits(model, split)
    found = calibrate(model, split, params())
    assert found.temperature.applied
    np.testing.assert_allclose(logits(model, split) * found.temperature.values_C, before, atol=1e-4)


@pytest.mark.parametrize("kind", ["bert", "distilbert", "modernbert"])
def test_an_unpadded_model_is_calibrated_as_its_padded_self(
    kind: str, validation: TokenizedSplit, params: MakeParams
) -> None:
    padded, unpadded = (make_overconfident(build(kind), validation) for _ in range(2))
    enable_unpadding(unpadded)
    assert is_unpadding_enabled(unpadded)
    expected, found = (calibrate(model, validation, params()) for model in (padded, unpadded))
    assert found.temperature.values_C == pytest.approx(expected.temperature.values_C, abs=2e-4)


def test_the_log_loss_on_validation_falls(validation: TokenizedSplit, params: MakeParams) -> None:
    record = calibrate(make_overconfident(build("bert"), validation), validation, params()).record(
        ("a", "b", "c")
    )
    assert record["validation_rows"] == 300
    assert record["validation_after"]["log_loss"] < record["validation_before"]["log_loss"]


@pytest.mark.parametrize("several", [False, True])
def test_a_record_has_one_temperature_or_one_for_each_label(
    several: bool, validation: TokenizedSplit, params: MakeParams
) -> None:
    split = of_labels(validation) if several else validation
    found = calibrate(make_overconfident(build("bert"), split), split, params())
    recorded = json.loads(json.dumps(found.record(("a", "b", "c"))))["temperature"]
    values = found.temperature.values_C.tolist()
    assert recorded == (dict(zip("abc", values, strict=True)) if several else values[0])


class Squashed(nn.Linear):
    """A layer whose outputs are no linear function of its weights, as those of a capped head."""

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return 20 * torch.tanh(super().forward(states))


def test_a_head_that_is_not_linear_keeps_its_bits_and_says_so(
    validation: TokenizedSplit, params: MakeParams
) -> None:
    model = build("bert")
    model.classifier = Squashed(16, 3)
    before = weights(model)
    found = calibrate(model, validation, params())
    assert found.temperature.reason is not None
    assert "BertForSequenceClassification" in found.temperature.reason
    assert found.temperature.values_C.tolist() == [1.0] * 3
    after = weights(model)
    assert all(torch.equal(after[name], each) for name, each in before.items())


def test_too_few_validation_rows_change_nothing(
    splits: dict[str, TokenizedSplit], params: MakeParams, manifest: Manifest, tiny_encoder: Path
) -> None:
    assert len(splits["validation"]) < MIN_ROWS
    model = prepare(tiny_encoder, manifest, params(), torch.device("cpu"))
    before = weights(model)
    found = calibrate(model, splits["validation"], params())
    assert "too few" in str(found.temperature.reason)
    assert all(torch.equal(each, before[name]) for name, each in weights(model).items())


def test_a_model_trained_by_low_rank_updates_is_calibrated(
    splits: dict[str, TokenizedSplit],
    params: MakeParams,
    manifest: Manifest,
    tiny_encoder: Path,
    tmp_path: Path,
) -> None:
    pytest.importorskip("peft")
    chosen = params(lora_rank=2)
    model = prepare(tiny_encoder, manifest, chosen, torch.device("cpu"))
    list(fine_tune(model, splits, chosen, Checkpoints("run", tmp_path)))
    linear = find_last_linear(model)
    assert linear is not None
    scale_logits(linear, torch.full((3,), 20.0))
    before = logits(model, splits["train"])
    found = calibrate(model, splits["train"], chosen)
    assert found.temperature.applied
    np.testing.assert_allclose(logits(model, splits["train"]) * found.temperature.values_C, before, atol=1e-4)
    assert not any("lora" in name for name in model.state_dict())


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.floats(*BOUNDS),
    st.sampled_from([2, 6, 150]),
    st.floats(1e-2, 30),
    st.booleans(),
)
def test_no_temperature_changes_an_answer(
    seed: int, temperature: float, classes: int, size: float, several: bool
) -> None:
    draw = torch.Generator().manual_seed(seed)
    linear = nn.Linear(16, classes)
    with torch.inference_mode():
        for parameter in linear.parameters():
            parameter.normal_(generator=draw).mul_(size / 4)
        states = torch.randn(100, 16, generator=draw)
        before = linear(states).numpy()
        scale_logits(linear, torch.full((classes,), 1 / temperature))
        after = linear(states).numpy()
    assert not changed_answers(before, after, several=several).any()


def test_answers_that_rounding_decides_are_no_change() -> None:
    tied = np.array([[1.0, 1.0 + TIE / 2]], np.float32)
    assert not changed_answers(tied, tied[:, ::-1], several=False).any()
    assert not changed_answers(np.array([[TIE / 2]]), np.array([[-TIE / 2]]), several=True).any()
    apart = np.array([[1.0, 1.1]], np.float32)
    assert changed_answers(apart, apart[:, ::-1], several=False).all()
    assert changed_answers(np.array([[0.1]]), np.array([[-0.1]]), several=True).all()
