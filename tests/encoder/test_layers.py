import pytest
import torch

from bertline.encoder.layers import measure_depths
from tests.support.architectures import SIZES, build, depth_by_name


@pytest.mark.parametrize("kind", SIZES)
def test_every_parameter_of_an_encoder_has_a_depth(kind: str) -> None:
    model = build(kind)
    found = depth_by_name(model)
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
    assert depth_by_name(model)[name] == depth
    assert torch.equal(torch.get_rng_state(), random)
    assert [module.training for module in model.modules()] == modes


def test_an_encoder_that_shares_its_layers_says_so_where_depth_is_needed() -> None:
    model = build("albert", embedding_size=8)
    with pytest.raises(ValueError, match=r"set .*layer_decay: 1\.0"):
        measure_depths(model)
