from typing import get_args

import pytest
import torch

from bertline.head.out_of_scope import Reader
from bertline.head.states import find_reader, keeping_states, run_with_states
from tests.support.architectures import SIZES, build

IDS = torch.tensor([[1, 7, 9, 2], [1, 8, 2, 0]])


@pytest.mark.parametrize("which", get_args(Reader))
@pytest.mark.parametrize("kind", SIZES)
def test_a_state_is_what_a_layer_of_the_head_reads_and_the_mean_over_the_tokens_of_the_middle_layer(
    kind: str, which: Reader
) -> None:
    model = build(kind).eval()
    reader = find_reader(model, which)
    assert reader is not None
    inputs = {"input_ids": IDS, "attention_mask": (IDS > 0).long()}
    with torch.inference_mode(), keeping_states(reader) as kept:
        outputs = model(**inputs, output_hidden_states=True)
        head_SH = kept[-1]
        logits_SC, states_SW = run_with_states(model, reader, inputs)
    middle_STH = outputs.hidden_states[2]  # of the embeddings and three layers
    means_SH = torch.stack([middle_STH[0].mean(dim=0), middle_STH[1, :3].mean(dim=0)])
    assert states_SW is not None
    torch.testing.assert_close(states_SW, torch.cat([head_SH, means_SH], dim=1))
    assert torch.equal(logits_SC, outputs.logits)


@pytest.mark.parametrize(
    ("kind", "sizes"), [("albert", {"embedding_size": 8}), ("xlnet", {"d_model": 16, "n_head": 2})]
)
def test_without_a_middle_layer_that_is_of_texts_a_state_is_what_the_head_reads(
    kind: str, sizes: dict[str, int]
) -> None:
    model = build(kind, **sizes).eval()
    reader = find_reader(model, "first")
    assert reader is not None
    with torch.inference_mode():
        states_SW = run_with_states(model, reader, {"input_ids": IDS})[1]
    assert states_SW is not None
    assert states_SW.shape == (2, reader.in_features)


def test_a_model_that_reads_each_token_has_no_states() -> None:
    model = build("gpt2", n_embd=16, n_layer=2, n_head=2).eval()
    with torch.inference_mode():
        assert run_with_states(model, find_reader(model, "first"), {"input_ids": IDS[:1]})[1] is None
