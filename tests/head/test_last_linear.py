import pytest
import torch

from bertline.head.last_linear import find_head, find_last_linear, scale_logits
from bertline.head.states import keeping_states
from tests.support.architectures import SIZES, build

IDS = torch.tensor([[1, 7, 9, 2], [1, 8, 2, 0]])


@pytest.mark.parametrize("kind", SIZES)
def test_the_last_linear_layer_makes_the_logits_from_the_states(kind: str) -> None:
    model = build(kind).eval()
    linear = find_last_linear(model)
    assert linear is not None
    linear.requires_grad_(False)
    with keeping_states(linear) as states, torch.inference_mode():
        logits_SC = model(IDS, attention_mask=(IDS > 0).long()).logits
        states_SH = states[-1]
    assert states_SH.shape == (2, linear.in_features)
    torch.testing.assert_close(torch.nn.functional.linear(states_SH, linear.weight, linear.bias), logits_SC)


@pytest.mark.parametrize("kind", SIZES)
def test_scaling_the_last_layer_scales_the_logits(kind: str) -> None:
    model = build(kind).eval()
    linear = find_last_linear(model)
    assert linear is not None
    with torch.inference_mode():
        before_SC = model(IDS).logits
    scale_logits(linear, torch.tensor([0.5, 2.0, 3.0]))
    with torch.inference_mode():
        torch.testing.assert_close(model(IDS).logits, before_SC * torch.tensor([0.5, 2.0, 3.0]))


def test_to_find_the_layer_changes_no_mode_and_no_random_state() -> None:
    model = build("bert").train()
    state = torch.get_rng_state()
    find_last_linear(model)
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("kind", SIZES)
def test_the_head_begins_with_the_layer_that_reads_the_first_token_of_the_encoder(kind: str) -> None:
    model = build(kind).eval()
    first, *_, last = find_head(model)
    assert last is find_last_linear(model)
    with torch.inference_mode(), keeping_states(first) as kept:
        hidden_STH = model(IDS, attention_mask=(IDS > 0).long(), output_hidden_states=True).hidden_states[-1]
    torch.testing.assert_close(kept[-1], hidden_STH[:, 0])


def test_a_model_that_does_not_know_its_number_of_classes_has_a_head_too() -> None:
    layers = dict.fromkeys(("encoder_layers", "decoder_layers"), 1)
    heads = dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 2)
    assert len(find_head(build("bart", d_model=16, **layers, **heads))) == 2


def test_a_model_whose_last_layer_reads_each_token_has_no_head() -> None:
    assert find_head(build("gpt2", n_embd=16, n_layer=2, n_head=2).eval()) == []
