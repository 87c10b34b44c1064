"""Find out by halving how many rows fit into memory at once.

Does not guarantee an error: Linux, unless configured otherwise, promises more main memory than there is, and
kills the process when it runs out. On a GPU, and under a memory limit, there is an error.
Shape suffixes: B rows of a batch.
"""

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from transformers import PreTrainedModel

from bertline.encoder.oom import OutOfMemoryError, is_out_of_memory
from bertline.encoder.ordering import parts
from bertline.training.launcher import micro_batch_limit, restart_with_micro_batch
from bertline.training.parallel import is_sharded
from bertline.training.process_group import World

Result = TypeVar("Result")


class MicroBatcher:
    """Cuts batches into micro-batches that fit into memory.

    Args:
        micro_batch: rows that a process computes at once, at most.
        free_memory: tried before halving; it returns whether it freed anything.
        processes: how many of them share a batch. None of them can halve its part alone, so all start again
            (`launcher`).

    Attributes:
        micro_batch: as above; it is halved when memory runs out, and never grows again.
    """

    def __init__(
        self, micro_batch: int, free_memory: Callable[[], bool] | None = None, *, processes: int = 1
    ) -> None:
        self.micro_batch = micro_batch
        self._free_memory = free_memory
        self._processes = processes
        if processes > 1:
            self.limit(micro_batch_limit() or micro_batch)

    def limit(self, rows: int) -> None:
        """Compute no more than `rows` at once from now on."""
        self.micro_batch = min(self.micro_batch, rows)

    def run(self, rows: np.ndarray, compute: Callable[[list[np.ndarray]], Result]) -> Result:
        """Return what `compute` returns for the micro-batches of `rows` [B].

        When memory runs out, `compute` is called again with smaller micro-batches.

        Raises:
            OutOfMemoryError: even one row is too much.
        """
        while True:
            try:
                return compute(parts(rows, self.micro_batch * self._processes))
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                reason = str(error).partition("\n")[0]
            # Outside the except block, where no error holds the tensors of its frames in memory.
            if self._free_memory is None or not self._free_memory():
                self._halve(len(rows), reason)

    def _halve(self, rows: int, reason: str) -> None:
        tried = min(self.micro_batch, -(-rows // self._processes))
        if tried == 1:
            raise OutOfMemoryError(
                "one text does not fit into memory; read less of it (tokenize.max_length, long_texts), set "
                "gradient_checkpointing: true, or spread the model over several GPUs (parallelism: fsdp) "
                f"({reason})"
            )
        self.limit((tried + 1) // 2)
        if self._processes > 1:
            restart_with_micro_batch(self.micro_batch)
            raise OutOfMemoryError(
                f"memory ran out in one of {self._processes} processes; "
                f"set micro_batch to {self.micro_batch} or gradient_checkpointing: true"
            )
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


class BatchedInference:
    """Forward passes over rows that the processes share, in micro-batches that fit into memory.

    Each process computes its own rows. With a sharded model all processes must make the same number of calls.
    """

    def __init__(self, model: PreTrainedModel, rows: int, world: World) -> None:
        self._world = world
        self._sharded = is_sharded(model)
        self._micro_batcher = MicroBatcher(rows, processes=world.size if self._sharded else 1)

    def run(self, rows: np.ndarray, score: Callable[[np.ndarray, float], Result]) -> list[Result]:
        """Return what `score` returns for this process's share of `rows` [B], one result a micro-batch.

        `score` is called with some rows and their weight: 1, or 0 for a dummy row.
        """
        if self._sharded:
            return self._micro_batcher.run(
                rows, lambda parts: [score(*self._world.local_rows(part)) for part in parts]
            )
        local, weight = self._world.local_rows(rows)
        return self._micro_batcher.run(local, lambda parts: [score(part, weight) for part in parts])
