"""The processes of one training: who computes which rows, and how they exchange numbers.

With one process everything here does nothing, so a training is written once. With several processes, a step
equals that of one process with the same batch, except for rounding and for dropout, which each process draws
for itself. All processes must take the same steps in the same order: what is marked *collective* waits until
all processes call it. Shape suffixes: B rows of a batch.
"""

import hashlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import distributed as dist

from bertline.params.training import TrainingSection

Number = TypeVar("Number", float, np.ndarray)

GRACE = 5.0
"""Seconds that a failing process waits, so that process 0 prints its error first."""


@dataclass(frozen=True)
class World:
    """How many processes the training has (`size`), and which of them this one is (`rank`, from 0)."""

    rank: int
    size: int

    @classmethod
    def current(cls) -> "World":
        """Return the world that `process_group` opened; outside of it, this process alone."""
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size())
        return cls(0, 1)

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that writes files and prints."""
        return self.rank == 0

    def local_rows(self, rows_B: np.ndarray) -> tuple[np.ndarray, float]:
        """Return the rows of a batch that this process computes, and their weight: 1, or 0 for a dummy row.

        A process gets a dummy row if there are fewer rows than processes, because every process must take
        part when gradients are exchanged.
        """
        local = rows_B[self.rank :: self.size]
        return (local, 1.0) if len(local) else (rows_B[:1], 0.0)

    def sum(self, values: Number) -> Number:
        """Return the sum of a number or array over the processes (collective), the same bits in each."""
        if self.size == 1:
            return values
        tensor = torch.from_numpy(np.array(values))
        dist.all_reduce(tensor)
        return float(tensor) if isinstance(values, float) else tensor.numpy()

    def gather(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        """Return the CPU tensors of all processes, by rank (collective)."""
        if self.size == 1:
            return [tensor]
        tensors = [torch.empty_like(tensor) for _ in range(self.size)]
        dist.all_gather(tensors, tensor)
        return tensors

    def barrier(self) -> None:
        """Wait until all processes are here (collective)."""
        if self.size > 1:
            dist.barrier()

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """Let process 0 run the block before the others (collective)."""
        if not self.is_main:
            self.barrier()
        yield
        if self.is_main:
            self.barrier()

    def check_same(self, text: str) -> None:
        """Raise ValueError unless all processes pass the same text (collective)."""
        digest = torch.tensor([*hashlib.sha256(text.encode()).digest()])
        if not all(digest.equal(each) for each in self.gather(digest)):
            raise ValueError(
                "the processes differ in code, data, parameters, libraries, hardware or checkpoints; "
                "give all of them the same, in one folder that all see"
            )


@contextmanager
def process_group(params: TrainingSection) -> Iterator[World]:
    """Connect the processes that `launch` or torchrun started, for the length of the block.

    Raises:
        ValueError: torchrun started another number of processes than `params` asks for.
        ConnectionError: another process has ended.
    """
    if not dist.is_torchelastic_launched():
        yield World(0, 1)
        return
    local, started = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    _end_with(int(os.environ.get("BERTLINE_LAUNCHER", os.getppid())))
    on_gpu = params.device != "cpu" and torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(local)
    dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo")
    world = World.current()
    try:
        if started != params.processes:
            raise ValueError(
                f"processes is {params.processes}, but torchrun started {started} on this machine"
            )
        yield world
    except Exception as error:
        lost = isinstance(error, dist.DistBackendError) or "gloo" in str(error)
        if lost or not world.is_main or not isinstance(error, ValueError | OSError):
            # The launcher ends this process while it waits, if another process failed first.
            time.sleep(GRACE * (1 if world.is_main else 2))
        if lost:
            raise ConnectionError("another process ended; run the same command again to continue") from error
        raise
    dist.destroy_process_group()


def _end_with(parent: int) -> None:
    """End this process when `parent` has ended; on Ctrl-C exit silently: the launcher prints the message."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
