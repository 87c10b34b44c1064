"""Seeds, threads, kernels and memory: what a training sets, so that it ends in the same bits every time."""

import ctypes
import os
import sys

import torch
import transformers

from bertline.encoder.attention import triton_short


def make_deterministic(seed: int, threads: int) -> None:
    """Seed torch, set its number of threads, and allow only kernels that return the same bits every time."""
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # read when CUDA starts; torch demands it
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # untyped; costs time
    torch.set_num_threads(threads)
    torch.manual_seed(seed)


def runtime(device: torch.device) -> dict[str, str | int]:
    """Return the versions, hardware and thread setting that decide the bits of a training."""
    on_gpu = device.type == "cuda"
    hardware = torch.cuda.get_device_name() if on_gpu else torch.backends.cpu.get_cpu_capability()
    facts: dict[str, str | int] = {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "device": device.type,
        "hardware": hardware,
        "threads": torch.get_num_threads(),
    }
    return facts | ({"short_attention": triton_short.is_available()} if on_gpu else {})


def random_state(device: torch.device) -> dict[str, torch.Tensor]:
    """Return the state of torch's random number generators, on the CPU and on `device`."""
    state = {"cpu": torch.get_rng_state()}
    return state | {"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else state


def set_random_state(state: dict[str, torch.Tensor]) -> None:
    """Go back to what `random_state` returned."""
    torch.set_rng_state(state["cpu"])
    if "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"])


def keep_freed_memory() -> None:
    """Tell glibc to keep freed memory, so that each step reuses the memory of the step before.

    By default glibc returns blocks over 128 KB to the kernel, which has to zero them again for the next step.
    Does nothing on other systems.
    """
    if sys.platform == "linux":
        try:
            mallopt = ctypes.CDLL("libc.so.6").mallopt
        except (OSError, AttributeError):  # another libc
            return
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
        _ = mallopt(-3, 2**30) or mallopt(-3, 2**25)  # M_MMAP_THRESHOLD; older versions allow 32 MB
