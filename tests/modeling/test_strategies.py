from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest
import torch
from architectures import SIZES, build, weights
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel

from bertline.modeling import lora
from bertline.modeling.checkpoints import Checkpoints
from bertline.modeling.encoder import build_classifier
from bertline.modeling.finetuning import fine_tune
from bertline.modeling.history import Epoch
from bertline.modeling.strategies import (
    depths,
    freeze,
    keep_layers,
    parameter_groups,
    reinitialize,
    unfreeze,
)
from bertline.modeling.tokens import TokenizedSplit
from bertline.params.finetune import Params

MakeParams = Callable[..., Params]
Splits = dict[str, TokenizedSplit]


@pytest.mark.parametrize("kind", SIZES)
def test_every_parameter_of_an_encoder_has_a_depth(kind: str) -> None:
    model = build(kind)
    found = depths(model)
    assert set(found) == {name for name, _ in model.named_parameters()}
    assert set(found.values()) == {0, 1, 2, 3, 4}
    assert all(depth == 4 for name, depth in found.items() if name.startswith("classifier"))
    assert all(depth == 0 for name, depth in found.items() if "word_embeddings" in name or "tok_emb" in name)


@pytest.mark.parametrize(
    ("kind", "depth", "name"),
    [
        ("deberta-v2", 0, "deberta.encoder.LayerNorm.weight"),  # of the positions, which all layers read
        ("mpnet", 0, "mpnet.encoder.relative_attention_bias.weight"),
        ("megatron-bert", 4, "bert.encoder.ln.weight"),
        ("modernbert", 4, "model.final_norm.weight"),
        ("xlm-roberta-xl", 4, "roberta.encoder.LayerNorm.weight"),
        ("bert", 4, "bert.pooler.dense.weight"),
    ],
)
def test_what_is_no_layer_is_as_deep_as_it_runs(kind: str, depth: int, name: str) -> None:
    model = build(kind).train()
    random, modes = torch.get_rng_state(), [module.training for module in model.modules()]
    assert depths(model)[name] == depth
    assert torch.equal(torch.get_rng_state(), random)
    assert [module.training for module in model.modules()] == modes


def test_an_encoder_that_shares_its_layers_says_so_where_depth_is_needed(params: MakeParams) -> None:
    model = build("albert", embedding_size=8)
    with pytest.raises(ValueError, match=r"set .*layer_decay: 1\.0"):
        freeze(model, 0)
    with pytest.raises(ValueError, match="set layers: null"):
        keep_layers(model, 2)
    assert parameter_groups(model, params())


def test_biases_and_norms_are_not_decayed_and_everything_is_trained_once(params: MakeParams) -> None:
    model = build()
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    grouped = [
        (names[id(p)], group["weight_decay"])
        for group in parameter_groups(model, params(), layer_decay=0.9)
        for p in group["params"]
    ]
    assert sorted(name for name, _ in grouped) == sorted(names.values())
    assert all((decay == 0) == ("LayerNorm" in name or name.endswith("bias")) for name, decay in grouped)


def test_the_learning_rate_falls_by_the_factor_from_layer_to_layer(params: MakeParams) -> None:
    scales = {group["scale"] for group in parameter_groups(build(), params(), layer_decay=0.5)}
    assert scales == {1, 0.5, 0.25, 0.125, 0.0625}
    assert {group["scale"] for group in parameter_groups(build(), params())} == {1}


@pytest.mark.parametrize("kind", SIZES)
def test_reinitialising_draws_the_top_layers_of_a_pretrained_encoder_anew(kind: str, tmp_path: Path) -> None:
    build(kind).base_model.save_pretrained(tmp_path)
    model = build_classifier(tmp_path, ("a", "b"))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    reinitialize(model, 2)
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    found, encoder = depths(model), f"{model.base_model_prefix}."
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
    freeze(model, layers)
    before = weights(model)
    list(fine_tune(model, splits, params(epochs=1), Checkpoints("run", tmp_path)))
    found = depths(model)
    assert {found[name] for name in still(before, weights(model))} == frozen


@pytest.mark.parametrize("strategy", [reinitialize, freeze, keep_layers])
def test_more_layers_than_the_encoder_has_are_refused(strategy: Callable[..., None]) -> None:
    with pytest.raises(ValueError, match="this encoder has 3 layers"):
        strategy(build(), 4)


def trained(model: PreTrainedModel) -> set[int]:
    found = depths(model)
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
    freeze(model, frozen)
    strategy = params(frozen_layers=frozen, unfreeze_epochs=epochs, epochs=epochs + 1)
    seen = {}
    for epoch in (*range(len(reached), 0, -1), 2):  # whatever came before, as after a resume
        unfreeze(model, epoch, strategy)
        seen[epoch] = trained(model)
    assert [seen[epoch] for epoch in sorted(seen)] == [set(range(lowest, 5)) for lowest in reached]


def test_without_gradual_unfreezing_all_is_trained_that_may_be(params: MakeParams) -> None:
    model = build()
    freeze(model, 1)
    unfreeze(model, 1, params(frozen_layers=1))
    assert trained(model) == {2, 3, 4}


def test_unfreezing_leaves_the_weights_below_low_rank_updates_alone(params: MakeParams) -> None:
    pytest.importorskip("peft")
    model = build()
    lora.add(model, 2)
    before = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    strategy = params(lora_rank=2, unfreeze_epochs=2, epochs=3)
    unfreeze(model, 1, strategy)
    assert trained(model) == {4}
    unfreeze(model, 3, strategy)
    assert {name for name, parameter in model.named_parameters() if parameter.requires_grad} == before


def test_what_is_still_frozen_does_not_move_and_moves_later(
    splits: Splits, params: MakeParams, tmp_path: Path
) -> None:
    model, strategy = build(), params(epochs=2, unfreeze_epochs=1, select_by="loss")
    before, found = weights(model), depths(model)
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
    strategy = params(epochs=3, unfreeze_epochs=2, averaging=0.9)

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
    found = depths(model)
    keep_layers(model, layers)
    left = [found[before[id(parameter)]] for parameter in model.parameters()]
    assert sorted(set(left)) == [0, *(i + 1 for i in kept), 7]
    assert set(depths(model).values()) == {*range(layers + 2)}


def test_an_encoder_that_would_not_be_a_standard_one_with_fewer_layers_is_refused() -> None:
    sizes = {"d_model": 16, "n_head": 2, "d_head": 8, "d_inner": 32, "block_sizes": [1, 1, 1]}
    funnel = AutoConfig.for_model("funnel", vocab_size=40, **sizes)
    for model in (build("esm"), AutoModelForSequenceClassification.from_config(funnel)):
        with pytest.raises(ValueError, match="set layers: null"):
            keep_layers(model, 2)


def test_lists_of_layers_are_cut_with_them() -> None:
    model = build("longformer", attention_window=[4, 8, 16])
    keep_layers(model, 2)
    assert list(model.config.attention_window) == [4, 16]


def test_lists_of_something_else_stay_whole_also_where_they_are_as_long() -> None:
    kinds = ["p2c", "c2p"]  # of attention: each layer has both
    model = build("deberta-v2", num_hidden_layers=2, pos_att_type=kinds, share_att_key=True)
    keep_layers(model, 1)
    assert model.config.pos_att_type == kinds


@pytest.mark.parametrize("kind", SIZES)
def test_a_model_with_fewer_layers_is_saved_as_a_standard_one(kind: str, tmp_path: Path) -> None:
    model = build(kind, **{"n_layers" if kind == "distilbert" else "num_hidden_layers": 7}).eval()
    keep_layers(model, 3)
    model.save_pretrained(tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    ids_BT = torch.randint(3, 40, (2, 200))  # longer than ModernBERT's layers see that attend locally
    assert loaded.config.num_hidden_layers == 3
    with torch.no_grad():
        assert torch.equal(loaded(ids_BT).logits, model(ids_BT).logits)
