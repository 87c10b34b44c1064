from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel

from bertline.modeling.checkpoints import Checkpoints
from bertline.modeling.encoder import build_classifier
from bertline.modeling.strategies import depths, freeze, parameter_groups, reinitialize
from bertline.modeling.tokens import TokenizedSplit
from bertline.modeling.training import train
from bertline.params.finetune import Params

MakeParams = Callable[..., Params]
Splits = dict[str, TokenizedSplit]
SIZE = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
SIZES = {
    **dict.fromkeys(("bert", "roberta", "electra", "deberta-v2", "modernbert"), SIZE),
    "distilbert": {"dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 32},
}


def build(kind: str = "bert", **changes: Any) -> PreTrainedModel:
    torch.manual_seed(0)
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
    config = AutoConfig.for_model(
        kind, vocab_size=40, num_labels=3, **ids, **(SIZES.get(kind, SIZE) | changes)
    )
    return AutoModelForSequenceClassification.from_config(config)


@pytest.mark.parametrize("kind", SIZES)
def test_every_parameter_of_an_encoder_has_a_depth(kind: str) -> None:
    model = build(kind)
    found = depths(model)
    assert set(found) == {name for name, _ in model.named_parameters()}
    assert set(found.values()) == {0, 1, 2, 3, 4}
    assert all(depth == 4 for name, depth in found.items() if name.startswith("classifier"))
    assert all(depth == 0 for name, depth in found.items() if "word_embeddings" in name or "tok_emb" in name)


def test_an_encoder_that_shares_its_layers_says_so_where_depth_is_needed(params: MakeParams) -> None:
    model = build("albert", embedding_size=8)
    with pytest.raises(ValueError, match=r"set layer_decay: 1\.0"):
        freeze(model, 0)
    assert parameter_groups(model, params())


def test_biases_and_norms_are_not_decayed_and_everything_is_trained_once(params: MakeParams) -> None:
    model = build()
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    grouped = [
        (names[id(p)], group["weight_decay"])
        for group in parameter_groups(model, params(layer_decay=0.9))
        for p in group["params"]
    ]
    assert sorted(name for name, _ in grouped) == sorted(names.values())
    assert all((decay == 0) == ("LayerNorm" in name or name.endswith("bias")) for name, decay in grouped)


def test_the_learning_rate_falls_by_the_factor_from_layer_to_layer(params: MakeParams) -> None:
    scales = {group["scale"] for group in parameter_groups(build(), params(layer_decay=0.5))}
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


@pytest.mark.parametrize(("layers", "frozen"), [(None, set()), (0, {0}), (2, {0, 1, 2})])
def test_frozen_layers_do_not_move_in_training(
    layers: int | None,
    frozen: set[int],
    splits: dict[str, TokenizedSplit],
    params: MakeParams,
    tmp_path: Path,
) -> None:
    model = build()
    freeze(model, layers)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    list(train(model, splits, params(epochs=1), Checkpoints("run", tmp_path)))
    found = depths(model)
    still = {
        found[name] for name, p in model.named_parameters() if p.ndim == 2 and torch.equal(p, before[name])
    }
    assert still == frozen


@pytest.mark.parametrize("strategy", [reinitialize, freeze])
def test_more_layers_than_the_encoder_has_are_refused(strategy: Callable[..., None]) -> None:
    with pytest.raises(ValueError, match="this encoder has 3 layers"):
        strategy(build(), 4)


def test_label_smoothing_changes_the_loss(splits: Splits, params: MakeParams, tmp_path: Path) -> None:
    def first_loss(smoothing: float) -> float:
        run = train(build(), splits, params(label_smoothing=smoothing), Checkpoints(f"{smoothing}", tmp_path))
        return next(run).loss  # type: ignore[union-attr]

    assert first_loss(0.2) != first_loss(0.0)
