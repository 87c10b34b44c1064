from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from bertline.encoder.layers import measure_depths
from bertline.params.finetune import Params
from bertline.stages.finetune import lora
from bertline.stages.finetune.layers import freeze
from bertline.stages.finetune.prepare import fine_tune
from bertline.tokens.arrays import TokenizedSplit
from bertline.training.checkpoints import Checkpoints
from bertline.training.optimizer import parameter_groups
from tests.support.architectures import SIZES, build, depth_by_name, weights

pytest.importorskip("peft")
MakeParams = Callable[..., Params]
Splits = dict[str, TokenizedSplit]


def adapted(kind: str = "bert", rank: int = 2) -> PreTrainedModel:
    """Return a model whose updates are no longer zero, as after training."""
    model = build(kind)
    lora.add(model, rank, measure_depths(model))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    return model.eval()


def logits(model: PreTrainedModel) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(torch.arange(3, 35).view(2, 16)).logits


def still(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, each in after.items() if torch.equal(each, before[name])}


@pytest.mark.parametrize("kind", SIZES)
def test_only_the_updates_and_what_lies_above_the_layers_are_trained(kind: str) -> None:
    model = build(kind)
    lora.add(model, 2, measure_depths(model))
    found = depth_by_name(model)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {name for name in found if "lora_" in name or found[name] == 4}
    assert {found[name] for name in trained} == {1, 2, 3, 4}


@pytest.mark.parametrize("kind", SIZES)
def test_every_map_of_the_attention_gets_two_matrices_of_the_rank(kind: str) -> None:
    model = build(kind)
    lora.add(model, 2, measure_depths(model))
    found = depth_by_name(model)
    shapes = [tuple(p.shape) for name, p in model.named_parameters() if found[name] == 2 and "lora_" in name]
    own = [(2, 16), (16, 2)]  # query, key, value, output
    joint = [(2, 16), (48, 2), *own]  # queries, keys and values in one
    assert sorted(shapes) == sorted(joint if kind == "modernbert" else 4 * own)


def test_frozen_layers_get_no_updates() -> None:
    model = build()
    freeze(model, 2, measure_depths(model))
    lora.add(model, 2, measure_depths(model))
    found = depth_by_name(model)
    assert {found[name] for name, p in model.named_parameters() if p.requires_grad} == {3, 4}


def test_updates_of_layers_that_are_all_frozen_are_refused() -> None:
    model = build()
    freeze(model, 3, measure_depths(model))
    with pytest.raises(ValueError, match="set lora_rank: null, or lower frozen_layers"):
        lora.add(model, 2, measure_depths(model))


def test_updates_are_nothing_at_first() -> None:
    model = build()
    before = logits(model)
    lora.add(model, 2, measure_depths(model))
    assert torch.equal(logits(model), before)


def test_without_a_rank_nothing_changes() -> None:
    model = build()
    before = weights(model)
    lora.add(model, None, measure_depths(model))
    assert all(parameter.requires_grad for parameter in model.parameters())
    lora.merge(model)
    assert still(before, weights(model)) == set(before)


@pytest.mark.parametrize("kind", SIZES)
def test_a_merged_model_is_a_standard_one_with_the_adapted_logits(kind: str, tmp_path: Path) -> None:
    model = adapted(kind)
    expected, plain = logits(model), set(build(kind).state_dict())
    assert not torch.allclose(logits(build(kind)), expected, atol=1e-3)
    lora.merge(model)
    assert set(model.state_dict()) == plain
    assert torch.allclose(logits(model), expected, atol=1e-5)
    model.save_pretrained(tmp_path)
    assert not (tmp_path / "adapter_config.json").exists()
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert torch.equal(logits(loaded), logits(model))


def test_a_seed_draws_the_same_updates() -> None:
    first, again = weights(adapted()), weights(adapted())
    assert all(torch.equal(again[name], each) for name, each in first.items())


def test_layers_learn_by_depth(params: MakeParams) -> None:
    model = build()
    lora.add(model, 2, measure_depths(model))
    groups = parameter_groups(model, params(), layer_decay=0.5, depths=measure_depths(model))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = depth_by_name(model)
    for group in groups:
        assert {0.5 ** (4 - found[names[id(each)]]) for each in group["params"]} == {group["lr_scale"]}


@pytest.mark.parametrize("unpadded", [True, False])
def test_training_ends_in_a_plain_model_whose_layers_moved_by_the_rank(
    unpadded: bool, splits: Splits, params: MakeParams, tmp_path: Path
) -> None:
    model = build()
    before, found = weights(model), depth_by_name(model)
    lora.add(model, 2, measure_depths(model))
    strategy = params(epochs=6, lora_rank=2, unpadded=unpadded)
    list(fine_tune(model, splits, strategy, Checkpoints("run", tmp_path)))
    after = weights(model)
    assert set(after) == set(before)
    query = "bert.encoder.layer.1.attention.self.query.weight"
    assert torch.linalg.matrix_rank(after[query] - before[query], rtol=1e-4) == 2
    in_layers = {name for name, depth in found.items() if depth in {1, 2, 3}}
    moved = in_layers - still(before, after)
    assert moved == {name for name in in_layers if "attention" in name and before[name].ndim == 2}


def test_a_killed_run_ends_in_the_same_bits(splits: Splits, params: MakeParams, tmp_path: Path) -> None:
    def run(scratch: Path, steps: int) -> dict[str, torch.Tensor]:
        model = build()
        lora.add(model, 2, measure_depths(model))
        training = fine_tune(model, splits, params(lora_rank=2), Checkpoints("run", scratch))
        for _ in zip(range(steps), training, strict=False):
            pass
        return weights(model)

    whole = run(tmp_path / "whole", 1000)
    run(tmp_path / "cut", 8)
    again = run(tmp_path / "cut", 1000)
    assert all(torch.equal(again[name], each) for name, each in whole.items())


def test_an_encoder_that_shares_its_layers_is_refused() -> None:
    with pytest.raises(ValueError, match="lora_rank: null"):
        measure_depths(build("albert", embedding_size=8))


def test_a_rank_that_the_maps_do_not_have_is_refused() -> None:
    model = build()
    with pytest.raises(ValueError, match="lora_rank is 17; maps of the attention here have rank 16"):
        lora.add(model, 17, measure_depths(model))
