"""The kernel that attends within each text, and what it stands for: one call per run of equal lengths."""

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from bertline.encoder.attention.varlen import LengthGroups, attend, flash_varlen

HALF = torch.bfloat16


@pytest.mark.parametrize("window", [None, 5, 100])
def test_the_kernel_accepts_what_it_is_called_with(window: int | None) -> None:
    with FakeTensorMode():  # shapes and types, no numbers: there need be no GPU
        states = [torch.empty(54, 2, 8, dtype=HALF, requires_grad=True) for _ in range(3)]
        bounds = torch.empty(8, dtype=torch.int32)
        output = flash_varlen(*states, bounds, 12, 0.5, window)
        output.sum().backward()
    assert (output.shape, output.dtype) == ((54, 2, 8), HALF)
    assert [(x.grad.shape, x.grad.dtype) for x in states] == [((54, 2, 8), HALF)] * 3


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("window", [None, 5])
@pytest.mark.parametrize("scale", [None, 0.5])
def test_the_kernel_and_the_calls_per_run_agree(window: int | None, scale: float | None) -> None:
    bounds = torch.tensor([0, 3, 6, 13, 25, 37], dtype=torch.int32, device="cuda")
    where = {"cu_seqlens": bounds, "max_seqlen": 12, "length_groups": LengthGroups(((2, 3), (1, 7), (2, 12)))}
    results = []
    for dtype in (HALF, torch.float32):  # the kernel takes the first only
        torch.manual_seed(0)
        states = [torch.randn(1, 2, 37, 8).to(HALF).to("cuda", dtype).requires_grad_() for _ in range(3)]
        output, _ = attend(nn.Module(), *states, None, scaling=scale, sliding_window=window, **where)
        output.float().square().sum().backward()
        results.append([output.float(), *(x.grad.float() for x in states)])
    for half, full in zip(*results, strict=True):
        torch.testing.assert_close(half, full, rtol=0.05, atol=0.05)
