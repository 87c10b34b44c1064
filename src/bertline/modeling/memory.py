"""How many rows fit into memory at once: found out by halving, and what running out of it looks like.

Does not guarantee an error: a kernel that promises more main memory than there is (Linux, unless told
otherwise) kills the process when it runs out. On a GPU, and under a limit, there is one.
Shape suffixes: B rows of a batch.
"""

import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch

from bertline.modeling.batches import parts
from bertline.modeling.distributed import World

Result = TypeVar("Result")

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


class Room:
    """Rows that are computed at once, at most; `rows` falls by halves and never grows again.

    `release` gives back memory that can be done without, and says whether there was any: it is asked first.
    """

    def __init__(self, rows: int, release: Callable[[], bool] = lambda: False) -> None:
        self.rows = rows
        self._release = release

    def fit(self, rows: np.ndarray, compute: Callable[[list[np.ndarray]], Result]) -> Result:
        """Return what `compute` makes of `rows` [B] in parts that fit: it is called anew with smaller ones.

        Raises:
            OutOfMemoryError: even one row is too much.
        """
        while True:
            try:
                return compute(parts(rows, self.rows))
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                reason = str(error).partition("\n")[0]
            if not self._release():  # out here, where no error holds on to the tensors of its frames
                self._shrink(len(rows), reason)

    def _shrink(self, asked: int, reason: str) -> None:
        tried, processes = min(self.rows, asked), World.current().size
        if processes > 1:  # the others wait for what this one has not computed, and cannot be told
            raise OutOfMemoryError(
                f"memory ran out in one of {processes} processes; "
                f"set micro_batch to {max(1, tried // processes // 2)} or gradient_checkpointing: true"
            )
        if tried == 1:
            raise OutOfMemoryError(
                "one text does not fit into memory; read less of it (tokenize.max_length, long_texts), set "
                "gradient_checkpointing: true, or spread the model over several GPUs (sharding: shard) "
                f"({reason})"
            )
        self.rows = (tried + 1) // 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def keep_freed_memory() -> None:
    """Tell glibc to keep freed memory: activations of a step are the next one's; elsewhere do nothing.

    The default returns blocks over 128 KB to the kernel, which must then zero them anew each step.
    """
    if sys.platform == "linux":
        try:
            mallopt = ctypes.CDLL("libc.so.6").mallopt
        except (OSError, AttributeError):  # another libc
            return
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
        _ = mallopt(-3, 2**30) or mallopt(-3, 2**25)  # M_MMAP_THRESHOLD; older versions allow 32 MB
