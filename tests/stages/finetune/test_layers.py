from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel

from bertline.encoder.classifier import build_classifier
from bertline.encoder.collate import collate_padded
from bertline.encoder.layers import measure_depths
from bertline.params.finetune import Params
from bertline.stages.finetune import lora
from bertline.stages.finetune.layers import drop_layers, freeze, reinitialize, unfreeze
from bertline.stages.finetune.prepare import fine_tune
from bertline.stages.finetune.task import Classification
from bertline.tokens.arrays import TokenizedSplit
from bertline.training.checkpoints import Checkpoints
from bertline.training.history import Epoch
from tests.support.architectures import SIZES, build, depth_by_name, weights

MakeParams = Callable[..., Params]
Splits = dict[str, TokenizedSplit]


@pytest.mark.parametrize("kind", SIZES)
def test_reinitialising_draws_the_top_layers_of_a_pretrained_encoder_anew(kind: str, tmp_path: Path) -> None:
    build(kind).base_model.save_pretrained(tmp_path)
    model = build_classifier(tmp_path, ("a", "b"))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    reinitialize(model, 2, measure_depths(model))
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    found, encoder = depth_by_name(model), f"{model.base_model_prefix}."
    above = {name for name, p in model.named_parameters() if found[name] > 1 and p.ndim == 2}
    assert changed == {name for name in above if name.startswith(encoder)}  # biases stay 0 and norms 1


def still(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    """Return the names of the matrices that have not moved."""
    return {name for name, each in after.items() if each.ndim == 2 and torch.equal(each, before[name])}


@pytest.mark.parametrize(("layers", "frozen"), [(None, set()), (0, {0}), (2, {0, 1, 2})])
def test_frozen_layers_do_not_move_in_training(
    layers: int | None, frozen: set[int], splits: Splits, params: MakeParams, tmp_path: Path
) -> None:
    model = build()
    freeze(model, layers, measure_depths(model))
    before = weights(model)
    list(fine_tune(model, splits, params(epochs=1), Checkpoints("run", tmp_path)))
    found = depth_by_name(model)
    assert {found[name] for name in still(before, weights(model))} == frozen


@pytest.mark.parametrize("technique", [reinitialize, freeze])
def test_more_layers_than_the_encoder_has_are_refused(technique: Callable[..., None]) -> None:
    model = build()
    with pytest.raises(ValueError, match="this encoder has 3 layers"):
        technique(model, 4, measure_depths(model))


def test_more_layers_than_the_encoder_has_cannot_be_kept() -> None:
    with pytest.raises(ValueError, match="this encoder has 3 layers"):
        drop_layers(build(), 4)


def test_layers_that_share_their_weights_cannot_be_dropped() -> None:
    with pytest.raises(ValueError, match="set layers: null"):
        drop_layers(build("albert", embedding_size=8), 2)


def trained(model: PreTrainedModel) -> set[int]:
    found = depth_by_name(model)
    return {found[name] for name, parameter in model.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize(
    ("frozen", "epochs", "reached"),
    [
        (None, 4, [4, 3, 2, 1, 0, 0]),  # one more layer with each epoch, as in ULMFiT
        (None, 2, [4, 2, 0, 0]),
        (None, 1, [4, 0, 0]),
        (1, 2, [4, 3, 2, 2]),
        (3, 2, [4, 4, 4]),
    ],
)
def test_unfreezing_goes_from_the_head_down_to_what_may_be_trained(
    frozen: int | None, epochs: int, reached: list[int], params: MakeParams
) -> None:
    model = build()
    depths = measure_depths(model)
    freeze(model, frozen, depths)
    strategy = params(frozen_layers=frozen, unfreeze_epochs=epochs, epochs=epochs + 1)
    seen = {}
    for epoch in (*range(len(reached), 0, -1), 2):  # whatever came before, as after a resume
        unfreeze(model, epoch, strategy, depths)
        seen[epoch] = trained(model)
    assert [seen[epoch] for epoch in sorted(seen)] == [set(range(lowest, 5)) for lowest in reached]


def test_without_unfreezing_an_epoch_leaves_frozen_layers_frozen(splits: Splits, params: MakeParams) -> None:
    model, strategy = build(), params(frozen_layers=1)
    freeze(model, 1, measure_depths(model))
    Classification(splits, strategy, collate_padded(model.config)).start_epoch(model, 1)
    assert trained(model) == {2, 3, 4}


def test_unfreezing_leaves_the_weights_below_low_rank_updates_alone(params: MakeParams) -> None:
    pytest.importorskip("peft")
    model = build()
    depths = measure_depths(model)
    lora.add(model, 2, depths)
    before = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    strategy = params(lora_rank=2, unfreeze_epochs=2, epochs=3)
    unfreeze(model, 1, strategy, depths)
    assert trained(model) == {4}
    unfreeze(model, 3, strategy, depths)
    assert {name for name, parameter in model.named_parameters() if parameter.requires_grad} == before


def test_what_is_still_frozen_does_not_move_and_moves_later(
    splits: Splits, params: MakeParams, tmp_path: Path
) -> None:
    model, strategy = build(), params(epochs=2, unfreeze_epochs=1, select_by="loss")
    before, found = weights(model), depth_by_name(model)
    moved = []
    for event in fine_tune(model, splits, strategy, Checkpoints("run", tmp_path)):
        if isinstance(event, Epoch):
            now = weights(model)
            moved.append({depth for name, depth in found.items() if not torch.equal(now[name], before[name])})
    assert moved == [{4}, {0, 1, 2, 3, 4}]


@pytest.mark.parametrize("killed_at", [5, 14, 20])
def test_a_run_killed_while_unfreezing_ends_in_the_same_bits(
    killed_at: int, splits: Splits, params: MakeParams, tmp_path: Path
) -> None:
    strategy = params(epochs=3, unfreeze_epochs=2, ema_decay=0.9)

    def run(scratch: Path, steps: int | None) -> dict[str, torch.Tensor]:
        model = build()
        for _ in islice(fine_tune(model, splits, strategy, Checkpoints("run", scratch)), steps):
            pass
        return weights(model)

    whole = run(tmp_path / "whole", None)
    run(tmp_path / "cut", killed_at)
    again = run(tmp_path / "cut", None)
    assert all(torch.equal(again[name], tensor) for name, tensor in whole.items())


@pytest.mark.parametrize("kind", SIZES)
@pytest.mark.parametrize(("layers", "kept"), [(1, [0]), (2, [0, 5]), (3, [0, 2, 5]), (6, [0, 1, 2, 3, 4, 5])])
def test_kept_layers_are_spread_from_the_first_to_the_last(kind: str, layers: int, kept: list[int]) -> None:
    model = build(kind, **{"n_layers" if kind == "distilbert" else "num_hidden_layers": 6})
    before = {id(parameter): name for name, parameter in model.named_parameters()}
    found = depth_by_name(model)
    drop_layers(model, layers)
    left = [found[before[id(parameter)]] for parameter in model.parameters()]
    assert sorted(set(left)) == [0, *(i + 1 for i in kept), 7]
    assert set(depth_by_name(model).values()) == {*range(layers + 2)}


def test_an_encoder_that_would_not_be_a_standard_one_with_fewer_layers_is_refused() -> None:
    sizes = {"d_model": 16, "n_head": 2, "d_head": 8, "d_inner": 32, "block_sizes": [1, 1, 1]}
    funnel = AutoConfig.for_model("funnel", vocab_size=40, **sizes)
    for model in (build("esm"), AutoModelForSequenceClassification.from_config(funnel)):
        with pytest.raises(ValueError, match="set layers: null"):
            drop_layers(model, 2)


def test_lists_of_layers_are_cut_with_them() -> None:
    model = build("longformer", attention_window=[4, 8, 16])
    drop_layers(model, 2)
    assert list(model.config.attention_window) == [4, 16]


def test_lists_of_something_else_stay_whole_also_where_they_are_as_long() -> None:
    kinds = ["p2c", "c2p"]  # of attention: each layer has both
    model = build("deberta-v2", num_hidden_layers=2, pos_att_type=kinds, share_att_key=True)
    drop_layers(model, 1)
    assert model.config.pos_att_type == kinds


@pytest.mark.parametrize("kind", SIZES)
def test_a_model_with_fewer_layers_is_saved_as_a_standard_one(kind: str, tmp_path: Path) -> None:
    model = build(kind, **{"n_layers" if kind == "distilbert" else "num_hidden_layers": 7}).eval()
    drop_layers(model, 3)
    model.save_pretrained(tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    ids_BT = torch.randint(3, 40, (2, 200))  # longer than ModernBERT's layers see that attend locally
    assert loaded.config.num_hidden_layers == 3
    with torch.no_grad():
        assert torch.equal(loaded(ids_BT).logits, model(ids_BT).logits)
