from collections.abc import Callable

from bertline.encoder.layers import measure_depths
from bertline.params.finetune import Params
from bertline.training.optimizer import parameter_groups
from tests.support.architectures import build

MakeParams = Callable[..., Params]


def test_biases_and_norms_are_not_decayed_and_everything_is_trained_once(params: MakeParams) -> None:
    model = build()
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    grouped = [
        (names[id(p)], group["weight_decay"])
        for group in parameter_groups(model, params(), 0.9, measure_depths(model))
        for p in group["params"]
    ]
    assert sorted(name for name, _ in grouped) == sorted(names.values())
    assert all((decay == 0) == ("LayerNorm" in name or name.endswith("bias")) for name, decay in grouped)


def test_the_learning_rate_falls_by_the_factor_from_layer_to_layer(params: MakeParams) -> None:
    model = build()
    groups = parameter_groups(model, params(), layer_decay=0.5, depths=measure_depths(model))
    assert {group["lr_scale"] for group in groups} == {1, 0.5, 0.25, 0.125, 0.0625}
    assert {group["lr_scale"] for group in parameter_groups(model, params())} == {1}


def test_layers_that_share_their_weights_learn_at_one_rate(params: MakeParams) -> None:
    assert parameter_groups(build("albert", embedding_size=8), params())
