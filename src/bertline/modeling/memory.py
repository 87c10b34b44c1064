"""How many rows fit into memory at once: found out by halving.

Does not guarantee an error: a kernel that promises more main memory than there is (Linux, unless told
otherwise) kills the process when it runs out. On a GPU, and under a limit, there is one.
Shape suffixes: B rows of a batch.
"""

import ctypes
import sys
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from transformers import PreTrainedModel

from bertline.modeling.batches import parts
from bertline.modeling.distributed import World, is_sharded
from bertline.modeling.launch import start_over, texts_at_once
from bertline.modeling.out_of_memory import OutOfMemoryError, is_out_of_memory

Result = TypeVar("Result")


class Room:
    """Rows that each process computes at once, at most; `rows` falls by halves and never grows again.

    `release` gives back memory that can be done without, and says whether there was any: it is asked first.
    Of several `processes` that share what is computed none can halve its part alone: all start again
    (`launch`).
    """

    def __init__(self, rows: int, release: Callable[[], bool] | None = None, *, processes: int = 1) -> None:
        self.rows = rows
        self._release = release
        self._processes = processes
        if processes > 1:
            self.limit(texts_at_once() or rows)

    def limit(self, rows: int) -> None:
        """Compute no more than `rows` at once from now on."""
        self.rows = min(self.rows, rows)

    def fit(self, rows: np.ndarray, compute: Callable[[list[np.ndarray]], Result]) -> Result:
        """Return what `compute` makes of `rows` [B] in parts that fit: it is called anew with smaller ones.

        Raises:
            OutOfMemoryError: even one row is too much.
        """
        while True:
            try:
                return compute(parts(rows, self.rows * self._processes))
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                reason = str(error).partition("\n")[0]
            # Out here no error holds on to the tensors of its frames.
            if self._release is None or not self._release():
                self._shrink(len(rows), reason)

    def _shrink(self, asked: int, reason: str) -> None:
        tried = min(self.rows, -(-asked // self._processes))
        if tried == 1:
            raise OutOfMemoryError(
                "one text does not fit into memory; read less of it (tokenize.max_length, long_texts), set "
                "gradient_checkpointing: true, or spread the model over several GPUs (sharding: shard) "
                f"({reason})"
            )
        self.limit((tried + 1) // 2)
        if self._processes > 1:
            start_over(self.rows)
            raise OutOfMemoryError(
                f"memory ran out in one of {self._processes} processes; "
                f"set micro_batch to {self.rows} or gradient_checkpointing: true"
            )
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


class Scoring:
    """Forward passes over rows that the processes share; each computes its own in parts that fit.

    Processes with a sharded model compute together: then all have equally many parts.
    """

    def __init__(self, model: PreTrainedModel, rows: int, world: World) -> None:
        self._world = world
        self._together = is_sharded(model)
        self._room = Room(rows, processes=world.size if self._together else 1)

    def fit(self, rows: np.ndarray, score: Callable[[np.ndarray, float], Result]) -> list[Result]:
        """Return what `score` makes of this process's part of `rows` [B] and of what it counts: 1, or 0."""
        if self._together:
            return self._room.fit(rows, lambda parts: [score(*self._world.share(part)) for part in parts])
        own, counts = self._world.share(rows)
        return self._room.fit(own, lambda parts: [score(part, counts) for part in parts])


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
