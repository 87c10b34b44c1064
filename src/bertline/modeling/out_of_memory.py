"""What running out of memory looks like, whichever library does."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

SAYINGS = (
    "allocate memory",  # torch on Linux and macOS
    "not enough memory",  # torch on Windows
    "bad_alloc",  # C++
    "could not create a primitive",  # oneDNN, which says no more
    "out of memory",  # CUDA
    "ALLOC_FAILED",  # cuBLAS, cuDNN
)


class OutOfMemoryError(ValueError):
    """Not even one row fits, or not even the model."""


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether Python, NumPy, torch or CUDA could not get the memory it asked for."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(saying in str(error) for saying in SAYINGS)


@contextmanager
def memory_errors() -> Iterator[None]:
    """Raise what says that memory ran out, whichever library does, as OutOfMemoryError."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(
            "memory ran out for more than the texts of a step: weights, optimizer, scores; "
            "free some of it, or take a smaller encoder"
        ) from error
