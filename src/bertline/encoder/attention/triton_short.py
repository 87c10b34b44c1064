"""Attention within each of many short texts that lie end to end: fused Triton kernels for NVIDIA GPUs.

A program computes one head of one whole text. It needs no running softmax, shares no sum with another program
(so bits repeat), and has dropout. torch's `varlen_attn` has no dropout, and short texts fill little of its
blocks of 128 x 64. Dropout has the distribution of `scaled_dot_product_attention`, but draws other numbers.

Source: Dao et al., FlashAttention, NeurIPS 2022, for the gradients.

Shape suffixes: S texts, T tokens of all texts, A attention heads, D width of a head. In kernels, L tokens of
a program's text, padded to BLOCK; WIDTH is D.
"""

import os
import shutil
from collections.abc import Callable
from typing import Any, no_type_check

import torch
from torch import Tensor
from torch.library import custom_op

try:
    import triton
    import triton.language as tl
    from triton.language import constexpr
except ImportError:  # comes with torch only where that is built for CUDA
    triton = tl = constexpr = None

MAX_LENGTH = 128
"""Tokens of the longest text that a program holds."""
WIDTHS = (16, 32, 64, 128)
WARPS = {16: 1, 32: 2, 64: 4, 128: 8}
"""Number of warps of a program, by its BLOCK."""


def is_half_on_gpu(device: torch.device, dtype: torch.dtype) -> bool:
    """Return whether states are in half precision, on a GPU of a generation that has kernels for them."""
    return (
        device.type == "cuda"
        and dtype in {torch.float16, torch.bfloat16}
        and torch.cuda.get_device_capability(device) >= (8, 0)
    )


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def is_available() -> bool:
    """Return whether Triton is here, and the C compiler that it needs for the first launch of a kernel."""
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")
    return triton is not None and compiler is not None


def is_supported(query: Tensor, max_seqlen: int) -> bool:
    """Return whether `attend_short` takes these queries [..., D], of texts of at most `max_seqlen` tokens."""
    return (
        is_half_on_gpu(query.device, query.dtype)
        and query.shape[-1] in WIDTHS
        and max_seqlen <= MAX_LENGTH
        and max_seqlen * query.shape[-1] <= MAX_LENGTH * 64  # 80 KiB of SRAM; consumers' GPUs have 99
        and is_available()
    )


def attend_short(
    q_TAD: Tensor,
    k_TAD: Tensor,
    v_TAD: Tensor,
    cu_seqlens: Tensor,
    max_seqlen: int,
    scale: float,
    window: int | None,
    dropout: float,
) -> Tensor:
    """Return what queries attend to in their own text, contiguous [T, A, D]; needs `is_supported`.

    Texts lie between neighbours of `cu_seqlens`, int32 [S + 1] from 0 to T; none has more than `max_seqlen`
    tokens, some may have none. Tokens see those less than `window` apart. `dropout` is the share of
    attention weights set to 0 (in evaluation pass 0); the others grow to make up for it.
    """
    seed = None
    if dropout > 0:  # drawn on the device: so each replay of a CUDA graph draws another seed
        seed = torch.randint(2**63 - 1, (1,), dtype=torch.int64, device=q_TAD.device)
    output = _attend(q_TAD, k_TAD, v_TAD, cu_seqlens, seed, max_seqlen, scale, window, dropout)
    assert isinstance(output, Tensor)
    return output


INPUTS = (
    "Tensor q_TAD, Tensor k_TAD, Tensor v_TAD, Tensor cu_seqlens, Tensor? seed, "
    "SymInt max_seqlen, float scale, SymInt? window, float dropout"
)


def _empty(states_TAD: Tensor, *_inputs: Any) -> Tensor:
    return states_TAD.new_empty(states_TAD.shape)


def _empty_grads(grad_TAD: Tensor, *_inputs: Any) -> tuple[Tensor, Tensor, Tensor]:
    return _empty(grad_TAD), _empty(grad_TAD), _empty(grad_TAD)


@custom_op("bertline::attend_short", mutates_args=(), schema=f"({INPUTS}) -> Tensor")
def _attend(*inputs: Any) -> Tensor:
    output_TAD = _empty(*inputs)
    _launch(_forward, [output_TAD], *inputs)
    return output_TAD


@custom_op(
    "bertline::attend_short_backward",
    mutates_args=(),
    schema=f"(Tensor grad_TAD, {INPUTS}) -> (Tensor, Tensor, Tensor)",
)
def _attend_backward(grad_TAD: Tensor, *inputs: Any) -> tuple[Tensor, Tensor, Tensor]:
    grads_TAD = _empty_grads(grad_TAD)
    _launch(_backward, [grad_TAD.contiguous(), *grads_TAD], *inputs)
    return grads_TAD


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    """Keep inputs only: a program of the backward pass has whole rows of weights again, and so their sums."""
    ctx.save_for_backward(*inputs[:5])
    ctx.options = inputs[5:]


def _differentiate(ctx: Any, grad_TAD: Tensor) -> tuple[Tensor | None, ...]:
    grads_TAD = _attend_backward(grad_TAD, *ctx.saved_tensors, *ctx.options)
    return *grads_TAD, None, None, None, None, None, None


_attend.register_fake(_empty)
_attend_backward.register_fake(_empty_grads)
_attend.register_autograd(_differentiate, setup_context=_save)


def _launch(
    kernel: Any,
    contiguous_TAD: list[Tensor],
    q_TAD: Tensor,
    k_TAD: Tensor,
    v_TAD: Tensor,
    cu_seqlens: Tensor,
    seed: Tensor | None,
    max_seqlen: int,
    scale: float,
    window: int | None,
    dropout: float,
) -> None:
    """Run a program for each head of each text."""
    heads, width = q_TAD.shape[1:]
    states = (q_TAD, k_TAD, v_TAD)
    assert {x_TAD.stride(2) for x_TAD in states} == {1}
    block = max(16, 2 ** (max_seqlen - 1).bit_length())
    kernel[(cu_seqlens.shape[0] - 1) * heads,](
        *(*contiguous_TAD, *states, *(x_TAD.stride(i) for x_TAD in states for i in (0, 1))),
        *(cu_seqlens, seed, heads, scale, window or 0, round(dropout * 2**24)),
        WIDTH=width,
        BLOCK=block,
        LOCAL=window is not None,
        DROPS=seed is not None,
        num_warps=WARPS[block],
    )


def _kernel(function: Callable[..., Any]) -> Any:
    """Have Triton compile a function at its launch, and again for other flags, but not for other numbers."""
    if triton is None:
        return function
    return triton.jit(function, do_not_specialize=["cu_seqlens", "seed", "window", "dropout"])


@_kernel
@no_type_check  # as is all below: Triton's language only looks like Python
def _rows(x, stride_token, stride_head, first, head, WIDTH: constexpr, BLOCK: constexpr):
    """Return pointers [L, D] to the states of a head from token `first` on."""
    row_L = tl.arange(0, BLOCK) * stride_token
    return x + first.to(tl.int64) * stride_token + head * stride_head + row_L[:, None] + tl.arange(0, WIDTH)


@_kernel
@no_type_check
def _load(x, stride_token, stride_head, first, length, head, WIDTH: constexpr, BLOCK: constexpr):
    """Read the states [L, D] of a head, 0 behind the text."""
    inside_L1 = tl.arange(0, BLOCK)[:, None] < length
    return tl.load(_rows(x, stride_token, stride_head, first, head, WIDTH, BLOCK), inside_L1, 0.0)


@_kernel
@no_type_check
def _weights(q_LD, k_LD, length, scale, window, BLOCK: constexpr, LOCAL: constexpr):
    """Return the softmax [L, L] over keys; rows behind the text are finite and never read."""
    key_L, query_L = tl.arange(0, BLOCK)[None, :], tl.arange(0, BLOCK)[:, None]
    seen_LL = key_L < length
    if LOCAL:
        seen_LL &= tl.abs(query_L - key_L) < window
    scores_LL = tl.where(seen_LL, tl.dot(q_LD, tl.trans(k_LD)) * (scale * 1.4426950408889634), -1e30)
    powers_LL = tl.exp2(scores_LL - tl.max(scores_LL, 1)[:, None])
    return powers_LL * (1 / tl.sum(powers_LL, 1))[:, None]


@_kernel
@no_type_check
def _dropout(x_LL, seed, first, head, heads, dropout, BLOCK: constexpr):
    """Set a random share of weights, or of their gradients, to 0: the same ones for one seed.

    A Philox block for every weight would take longer than attention: every row has one, and its weights the
    terms of a SplitMix sequence (Steele et al., 2014) that starts there. Multipliers: Wellons' lowbias32.
    `dropout` is in 2**24ths.
    """
    row_L = (first + tl.arange(0, BLOCK)) * heads + head
    start_L, salt_L, _, _ = tl.randint4x(tl.load(seed), row_L)
    bits_LL = start_L[:, None] + tl.arange(0, BLOCK)[None, :].to(tl.uint32) * 0x9E3779B9
    bits_LL = (bits_LL ^ (bits_LL >> 16)) * 0x7FEB352D ^ salt_L[:, None]
    bits_LL = (bits_LL ^ (bits_LL >> 15)) * 0x846CA68B
    dropped_LL = (bits_LL >> 8).to(tl.int32) >= dropout
    return tl.where(dropped_LL, x_LL * (2**24 / (2**24 - dropout)), 0.0)


@_kernel
@no_type_check
def _store(x, x_LD, first, length, head, heads, WIDTH: constexpr, BLOCK: constexpr):
    """Write the states of a head into contiguous ones."""
    inside_L1 = tl.arange(0, BLOCK)[:, None] < length
    rows = _rows(x, heads * WIDTH, WIDTH, first, head, WIDTH, BLOCK)
    tl.store(rows, x_LD.to(x.dtype.element_ty), inside_L1)


@_kernel
@no_type_check
def _forward(
    out, q, k, v, q_token, q_head, k_token, k_head, v_token, v_head,
    cu_seqlens, seed, heads, scale, window, dropout,
    WIDTH: constexpr, BLOCK: constexpr, LOCAL: constexpr, DROPS: constexpr,
):  # fmt: skip
    """Attend; `q_token` is the stride of `q` from token to token."""
    text, head = tl.program_id(0) // heads, tl.program_id(0) % heads
    first = tl.load(cu_seqlens + text)
    length = tl.load(cu_seqlens + text + 1) - first
    if length == 0:
        return
    q_LD = _load(q, q_token, q_head, first, length, head, WIDTH, BLOCK)
    k_LD = _load(k, k_token, k_head, first, length, head, WIDTH, BLOCK)
    v_LD = _load(v, v_token, v_head, first, length, head, WIDTH, BLOCK)
    weights_LL = _weights(q_LD, k_LD, length, scale, window, BLOCK, LOCAL)
    if DROPS:
        weights_LL = _dropout(weights_LL, seed, first, head, heads, dropout, BLOCK)
    _store(out, tl.dot(weights_LL.to(v_LD.dtype), v_LD), first, length, head, heads, WIDTH, BLOCK)


@_kernel
@no_type_check
def _backward(
    grad, q_grad, k_grad, v_grad, q, k, v, q_token, q_head, k_token, k_head, v_token, v_head,
    cu_seqlens, seed, heads, scale, window, dropout,
    WIDTH: constexpr, BLOCK: constexpr, LOCAL: constexpr, DROPS: constexpr,
):  # fmt: skip
    """Attend again and differentiate: `grad` is read, the other three gradients are written."""
    text, head = tl.program_id(0) // heads, tl.program_id(0) % heads
    first = tl.load(cu_seqlens + text)
    length = tl.load(cu_seqlens + text + 1) - first
    if length == 0:
        return
    q_LD = _load(q, q_token, q_head, first, length, head, WIDTH, BLOCK)
    k_LD = _load(k, k_token, k_head, first, length, head, WIDTH, BLOCK)
    v_LD = _load(v, v_token, v_head, first, length, head, WIDTH, BLOCK)
    grad_LD = _load(grad, heads * WIDTH, WIDTH, first, length, head, WIDTH, BLOCK)
    weights_LL = _weights(q_LD, k_LD, length, scale, window, BLOCK, LOCAL)
    dropped_LL, grad_weights_LL = weights_LL, tl.dot(grad_LD, tl.trans(v_LD))
    if DROPS:
        dropped_LL = _dropout(dropped_LL, seed, first, head, heads, dropout, BLOCK)
        grad_weights_LL = _dropout(grad_weights_LL, seed, first, head, heads, dropout, BLOCK)
    v_grad_LD = tl.dot(tl.trans(dropped_LL.to(q_LD.dtype)), grad_LD)
    _store(v_grad, v_grad_LD, first, length, head, heads, WIDTH, BLOCK)
    mean_L = tl.sum(weights_LL * grad_weights_LL, 1)
    grad_weights_LL = (weights_LL * (grad_weights_LL - mean_L[:, None])).to(q_LD.dtype)  # now of scores
    _store(q_grad, tl.dot(grad_weights_LL, k_LD) * scale, first, length, head, heads, WIDTH, BLOCK)
    _store(k_grad, tl.dot(tl.trans(grad_weights_LL), q_LD) * scale, first, length, head, heads, WIDTH, BLOCK)
