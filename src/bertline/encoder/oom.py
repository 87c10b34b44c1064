"""Recognise the out-of-memory errors of Python, NumPy and torch."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

OOM_MESSAGES = (
    "allocate memory",  # torch on Linux and macOS
    "not enough memory",  # torch on Windows
    "bad_alloc",  # C++
    "could not create a primitive",  # oneDNN, which gives no other reason
    "out of memory",  # CUDA
    "ALLOC_FAILED",  # cuBLAS, cuDNN
)


class OutOfMemoryError(ValueError):
    """Not even one row fits into memory, or not even the model."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether Python, NumPy, torch or CUDA could not get the memory it asked for."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(saying in str(error) for saying in OOM_MESSAGES)


@contextmanager
def memory_errors() -> Iterator[None]:
    """Raise the out-of-memory error of any library as OutOfMemoryError."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(
            "memory ran out, and smaller micro-batches do not help: the weights, the optimizer or the scores "
            "do not fit; free some memory, or take a smaller encoder"
        ) from error
