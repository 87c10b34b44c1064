"""Fused attention within short texts, and what it stands for: a softmax over every text for itself."""

from itertools import accumulate, pairwise
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from bertline.encoder.attention.triton_short import MAX_LENGTH, attend_short, is_supported

HALF = torch.bfloat16
DEVICE = "cuda"
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
LENGTHS = [33, 0, 64, 1, 17]
HOW: dict[str, Any] = {"max_seqlen": 64, "scale": 0.3, "window": None, "dropout": 0.0}


def _bounds(lengths: list[int]) -> Tensor:
    return torch.tensor([0, *accumulate(lengths)], dtype=torch.int32, device=DEVICE)


def _states(tokens: int, width: int = 64, heads: int = 2) -> list[Tensor]:
    """Return queries, keys and values as a fused projection has them: not contiguous."""
    torch.manual_seed(1)
    fused = torch.randn(tokens, 3, heads, width).to(DEVICE, HALF)
    return [states_TAD.detach().requires_grad_() for states_TAD in fused.unbind(1)]


def _differentiate(output: Tensor, states: list[Tensor]) -> list[Tensor]:
    """Return the output and the gradients of some loss."""
    torch.manual_seed(2)
    grad_TAD = torch.randn(output.shape).to(output)
    return [output.detach(), *torch.autograd.grad(output, states, grad_TAD)]


def _attend(lengths: list[int], seed: int = 0, **how: Any) -> list[Tensor]:
    states, cu_seqlens = _states(sum(lengths)), _bounds(lengths)
    torch.manual_seed(seed)
    return _differentiate(attend_short(*states, cu_seqlens, **HOW | how), states)


def _expected(
    states: list[Tensor],
    lengths: list[int],
    scale: float,
    window: int | None,
    kept: list[Tensor] | None = None,
) -> list[Tensor]:
    """Attend in full precision text by text, with weights multiplied by those `kept`, [A, L, L] of a text."""
    states, outputs = [states_TAD.detach().float().requires_grad_() for states_TAD in states], []
    for text, (first, end) in enumerate(pairwise([0, *accumulate(lengths)])):
        q_ALD, k_ALD, v_ALD = (states_TAD[first:end].transpose(0, 1) for states_TAD in states)
        place_L = torch.arange(end - first, device=DEVICE)
        far_LL = (place_L[:, None] - place_L).abs() >= (MAX_LENGTH if window is None else window)
        weights_ALL = (scale * q_ALD @ k_ALD.mT).masked_fill(far_LL, -torch.inf).softmax(-1)
        outputs.append((weights_ALL * (1 if kept is None else kept[text]) @ v_ALD).transpose(0, 1))
    return _differentiate(torch.cat(outputs), states)


def _kept(lengths: list[int], seed: int, dropout: float) -> list[Tensor]:
    """Return which weights are not dropped out, [A, L, L] of each text: even ones, times unit vectors."""
    even_TAD = torch.zeros(sum(lengths), 2, 64, device=DEVICE, dtype=HALF)
    units_TAD = torch.cat([torch.eye(length, 64) for length in lengths])[:, None].expand(-1, 2, -1)
    units_TAD = units_TAD.to(DEVICE, HALF)
    torch.manual_seed(seed)
    how = HOW | {"dropout": dropout}
    output_TAD = attend_short(even_TAD, even_TAD, units_TAD, _bounds(lengths), **how)
    parts = output_TAD.split(lengths)
    return [part[:, :, : len(part)].transpose(0, 1) > 0 for part in parts]


def _assert_close(results: list[Tensor], expected: list[Tensor]) -> None:
    for result, full in zip(results, expected, strict=True):
        torch.testing.assert_close(result.float(), full, rtol=0.05, atol=0.05)


def _equal(results: list[Tensor], others: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(results, others, strict=True))


def test_the_output_and_the_gradients_are_like_the_states() -> None:
    with FakeTensorMode():  # shapes and types, no numbers: there need be no GPU
        states = [torch.empty(54, 2, 16, dtype=HALF, requires_grad=True) for _ in range(3)]
        bounds = torch.empty(8, dtype=torch.int32)
        output = attend_short(*states, bounds, max_seqlen=12, scale=0.5, window=5, dropout=0.1)
        output.sum().backward()
    found = [(x.shape, x.dtype) for x in (output, *(states_TAD.grad for states_TAD in states))]
    assert found == [((54, 2, 16), HALF)] * 4


def test_states_on_the_cpu_do_not_fit() -> None:
    assert not is_supported(torch.empty(1, 2, 54, 64, dtype=HALF), 12)


@needs_gpu
@pytest.mark.parametrize(
    ("max_seqlen", "width", "expected"),
    [(1, 64, True), (128, 64, True), (129, 64, False), (64, 128, True), (65, 128, False), (12, 48, False)],
)
def test_short_texts_of_common_widths_fit(max_seqlen: int, width: int, expected: bool) -> None:
    assert is_supported(torch.empty(1, 2, 54, width, dtype=HALF, device=DEVICE), max_seqlen) is expected


@needs_gpu
@pytest.mark.parametrize("window", [None, 5])
@pytest.mark.parametrize(
    ("lengths", "width"),
    [
        ([14, 0, 16, 1], 64),
        ([32, 7, 20], 64),
        (LENGTHS, 16),
        (LENGTHS, 32),
        (LENGTHS, 64),
        (LENGTHS, 128),
        ([128, 1, 90], 64),
    ],
)
def test_it_agrees_with_full_precision(lengths: list[int], width: int, window: int | None) -> None:
    states = _states(sum(lengths), width)
    output = attend_short(*states, _bounds(lengths), max(lengths), 0.3, window, 0.0)
    _assert_close(_differentiate(output, states), _expected(states, lengths, 0.3, window))


@needs_gpu
def test_texts_of_no_token_change_nothing() -> None:
    assert _equal(_attend([0, 33, 0, 0, 64, 0]), _attend([33, 64]))


@needs_gpu
def test_the_bound_of_lengths_may_be_loose() -> None:
    _assert_close(_attend([14, 16], max_seqlen=64), [x.float() for x in _attend([14, 16], max_seqlen=16)])


@needs_gpu
@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_bits_repeat(dropout: float) -> None:
    first = _attend(LENGTHS * 50, dropout=dropout)
    assert all(_equal(_attend(LENGTHS * 50, dropout=dropout), first) for _ in range(3))


@needs_gpu
def test_the_share_of_weights_dropped_out_is_dropout() -> None:
    kept = torch.cat([x.flatten() for x in _kept([64] * 16, 0, 0.1)])
    assert kept.float().mean().item() == pytest.approx(0.9, abs=0.005)


@needs_gpu
def test_another_seed_drops_out_other_weights() -> None:
    one, other = (_kept([64] * 16, seed, 0.5) for seed in (0, 1))
    same = torch.cat([(a == b).flatten() for a, b in zip(one, other, strict=True)])
    assert same.float().mean().item() == pytest.approx(0.5, abs=0.02)


@needs_gpu
def test_heads_drop_out_other_weights() -> None:
    kept = torch.stack(_kept([64] * 16, 0, 0.5))
    assert (kept[:, 0] == kept[:, 1]).float().mean().item() == pytest.approx(0.5, abs=0.02)


@needs_gpu
def test_gradients_are_of_the_weights_that_were_kept() -> None:
    lengths, dropout = [33, 64, 1, 17], 0.3
    kept = [mask / (1 - dropout) for mask in _kept(lengths, 7, dropout)]
    expected = _expected(_states(sum(lengths)), lengths, HOW["scale"], None, kept)
    _assert_close(_attend(lengths, seed=7, dropout=dropout), expected)


@needs_gpu
def test_compiled_it_is_the_same() -> None:
    def layer(states: list[Tensor], cu_seqlens: Tensor, max_seqlen: int) -> Tensor:
        q_TAD, k_TAD, v_TAD = states
        return attend_short(q_TAD * 2, k_TAD, v_TAD, cu_seqlens, max_seqlen, 0.3, None, 0.0)

    compiled = torch.compile(layer, dynamic=True, fullgraph=True)
    for lengths in ([14, 0, 16], LENGTHS, [128, 90]):
        states = _states(sum(lengths))
        inputs = (states, _bounds(lengths), max(lengths))
        assert _equal(*(_differentiate(run(*inputs), states) for run in (layer, compiled)))


@needs_gpu
@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_a_recorded_step_repeats_the_bits(dropout: float) -> None:
    states, cu_seqlens = _states(sum(LENGTHS)), _bounds(LENGTHS)
    grad_TAD = torch.randn_like(states[0]).contiguous()

    def step() -> list[Tensor]:
        output_TAD = attend_short(*states, cu_seqlens, **HOW | {"dropout": dropout})
        return [output_TAD, *torch.autograd.grad(output_TAD, states, grad_TAD)]

    torch.manual_seed(3)
    expected = [each.detach() for each in step()]  # a graph that lives on would keep its stream
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        step()  # on the stream that autograd is recorded on
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = step()
    torch.manual_seed(3)
    graph.replay()
    assert _equal(results, expected)


@needs_gpu
def test_a_recorded_step_drops_out_other_weights_every_time() -> None:
    states, cu_seqlens = [x.detach() for x in _states(sum(LENGTHS))], _bounds(LENGTHS)
    attend_short(*states, cu_seqlens, **HOW | {"dropout": 0.1})
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output_TAD = attend_short(*states, cu_seqlens, **HOW | {"dropout": 0.1})
    graph.replay()
    first_TAD = output_TAD.clone()
    graph.replay()
    assert not torch.equal(output_TAD, first_TAD)


@needs_gpu
def test_it_is_one_of_the_deterministic_algorithms() -> None:
    torch.use_deterministic_algorithms(True)
    try:
        results = _attend(LENGTHS, dropout=0.1)
    finally:
        torch.use_deterministic_algorithms(False)
    assert _equal(results, _attend(LENGTHS, dropout=0.1))
