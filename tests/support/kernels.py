"""What stands in for the kernels of a GPU."""

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention


def attend_by_mask(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cu_seqlens: Tensor,
    max_seqlen: int,
    scale: float,
    window: int | None,
) -> Tensor:
    """Attend within texts, [T, A, D], with the arguments of `flash_varlen`."""
    assert max_seqlen > 0
    place_T = torch.arange(query.shape[0])
    text_T = torch.searchsorted(cu_seqlens, place_T, right=True)
    mask = text_T[:, None] == text_T
    if window is not None:
        mask = mask & ((place_T[:, None] - place_T).abs() < window)
    q, k, v = (each.transpose(0, 1) for each in (query, key, value))
    return scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale).transpose(0, 1)
