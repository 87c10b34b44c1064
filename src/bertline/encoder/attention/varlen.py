"""Attention within each of several texts that lie end to end in one row, for models of Hugging Face.

Keywords of the model's forward pass say where the texts lie: `cu_seqlens`, `max_seqlen` and `length_groups`
(see `unpadding.unpad`). Without them it is `sdpa` with a padding mask, so that the model also takes padded
batches.

Attention weights are dropped out, except in half precision where `triton_short` does not take a batch:
torch's own kernel for texts of all lengths has no dropout.

Shape suffixes: S texts, T tokens of all texts, N texts of a group (neighbours of one length), L tokens of
each of them, A attention heads, D width of a head.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from bertline.encoder.attention.triton_short import attend_short, is_half_on_gpu, is_supported

NAME = "bertline_varlen"


@dataclass(frozen=True)
class LengthGroups:
    """`shapes`: (texts, tokens of each) of every group of neighbours of one length.

    A class, because torch.compile would compile a program for every new tuple.
    """

    shapes: tuple[tuple[int, int], ...]


def register() -> None:
    """Make `NAME` an attention implementation of Hugging Face models."""
    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, _mask)


def _mask(*, attention_mask: Tensor | None = None, **kwargs: Any) -> Tensor | None:
    """Return the mask of a padded batch; without padding, `attend` makes the mask of local layers itself."""
    mask: Tensor | None = (
        None if attention_mask is None else sdpa_mask(attention_mask=attention_mask, **kwargs)
    )
    return mask


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    cu_seqlens: Tensor | None = None,
    max_seqlen: int = 0,
    length_groups: LengthGroups | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Return what the queries [B, A, T, D] attend to, [B, T, A, D]; B is 1 if the texts lie end to end."""
    if cu_seqlens is None:
        mask = _sliding_window_mask(query, sliding_window) if attention_mask is None else attention_mask
        kwargs |= {"scaling": scaling, "dropout": dropout}
        return sdpa_attention_forward(module, query, key, value, mask, **kwargs)[0], None
    query, key = query.to(value.dtype), key.to(value.dtype)  # some encoders rotate them in full precision
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    q_TAD, k_TAD, v_TAD = (states.transpose(1, 2).squeeze(0) for states in (query, key, value))
    scale = query.shape[3] ** -0.5 if scaling is None else scaling
    if is_supported(query, max_seqlen):
        output_TAD = attend_short(q_TAD, k_TAD, v_TAD, cu_seqlens, max_seqlen, scale, sliding_window, dropout)
    elif has_kernel(query.device, query.shape[3], query.dtype):
        output_TAD = flash_varlen(q_TAD, k_TAD, v_TAD, cu_seqlens, max_seqlen, scale, sliding_window)
    else:
        assert length_groups is not None, "`unpad` gives both"
        output_TAD = _attend_by_length_groups(
            q_TAD, k_TAD, v_TAD, length_groups, scale, sliding_window, dropout
        )
    return output_TAD[None], None


def _sliding_window_mask(query: Tensor, window: int | None) -> Tensor | None:
    """Return the mask [L, L] of tokens less than `window` apart; None if all are."""
    length = query.shape[2]
    if window is None or length <= window:
        return None
    place_L = torch.arange(length, device=query.device)
    return (place_L[:, None] - place_L).abs() < window


@torch.compiler.disable  # type: ignore[untyped-decorator]  # see LengthGroups
def _attend_by_length_groups(
    q_TAD: Tensor,
    k_TAD: Tensor,
    v_TAD: Tensor,
    groups: LengthGroups,
    scale: float,
    window: int | None,
    dropout: float,
) -> Tensor:
    """Attend by one call for each group, whose texts are a batch as they lie."""
    if q_TAD.is_cuda and torch.cuda.is_current_stream_capturing():
        raise RuntimeError("a CUDA graph would keep these lengths for other batches")
    sizes = [texts * length for texts, length in groups.shapes]
    outputs = []
    for shape, *parts in zip(
        groups.shapes, *(torch.split(x, sizes) for x in (q_TAD, k_TAD, v_TAD)), strict=True
    ):
        q_NALD, k_NALD, v_NALD = (part.unflatten(0, shape).transpose(1, 2) for part in parts)
        mask = _sliding_window_mask(q_NALD, window)
        output_NALD = scaled_dot_product_attention(
            q_NALD, k_NALD, v_NALD, attn_mask=mask, dropout_p=dropout, scale=scale
        )
        outputs.append(output_NALD.transpose(1, 2).flatten(0, 1))
    return torch.cat(outputs) if len(outputs) > 1 else outputs[0]


def has_kernel(device: torch.device, width: int, dtype: torch.dtype = torch.bfloat16) -> bool:
    """Return whether one kernel attends within all texts, for heads of `width`."""
    return width % 8 == 0 and is_half_on_gpu(device, dtype)


def flash_varlen(
    q_TAD: Tensor,
    k_TAD: Tensor,
    v_TAD: Tensor,
    cu_seqlens: Tensor,
    max_seqlen: int,
    scale: float,
    window: int | None,
) -> Tensor:
    """Attend by one FlashAttention call for all texts, long ones too, in half precision and without dropout.

    Its first versions took neither a scale nor a window, so both are passed only where they matter.
    """
    own_scale = q_TAD.shape[2] ** -0.5
    if scale != own_scale:
        q_TAD = q_TAD * (scale / own_scale)
    local: dict[str, Any] = {}
    if window is not None and max_seqlen > window:
        local["window_size"] = (window - 1, window - 1)
    output = varlen_attn(q_TAD, k_TAD, v_TAD, cu_seqlens, cu_seqlens, max_seqlen, max_seqlen, **local)
    assert isinstance(output, Tensor)
    return output
