import pytest
import torch

from bertline.head.last_linear import find_last_linear, keeping_states, run_with_states, scale_logits
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
def test_a_state_is_what_the_last_layer_reads_and_the_mean_over_the_tokens_of_the_middle_layer(
    kind: str,
) -> None:
    model = build(kind).eval()
    linear = find_last_linear(model)
    assert linear is not None
    inputs = {"input_ids": IDS, "attention_mask": (IDS > 0).long()}
    with torch.inference_mode(), keeping_states(linear) as kept:
        outputs = model(**inputs, output_hidden_states=True)
        head_SH = kept[-1]
        logits_SC, states_SW = run_with_states(model, linear, inputs)
    middle_STH = outputs.hidden_states[2]  # of the embeddings and three layers
    means_SH = torch.stack([middle_STH[0].mean(dim=0), middle_STH[1, :3].mean(dim=0)])
    assert states_SW is not None
    torch.testing.assert_close(states_SW, torch.cat([head_SH, means_SH], dim=1))
    assert torch.equal(logits_SC, outputs.logits)


def test_without_a_list_of_layers_a_state_is_what_the_last_layer_reads() -> None:
    model = build("albert", embedding_size=8).eval()
    linear = find_last_linear(model)
    assert linear is not None
    with torch.inference_mode():
        states_SW = run_with_states(model, linear, {"input_ids": IDS})[1]
    assert states_SW is not None
    assert states_SW.shape == (2, linear.in_features)


def test_a_model_that_reads_each_token_has_no_states() -> None:
    model = build("gpt2", n_embd=16, n_layer=2, n_head=2).eval()
    with torch.inference_mode():
        assert run_with_states(model, find_last_linear(model), {"input_ids": IDS[:1]})[1] is None
