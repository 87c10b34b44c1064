"""One training on several processes: who computes which rows, and what they tell each other.

With one process everything here does nothing, and no group of processes is needed: a training is written
once. With several, a step is that of one process with the same batch, but for rounding and for dropout, of
which each process draws its own. All processes must take the same steps in the same order: what is marked
*together* waits for the others.

Sources: Li et al., PyTorch Distributed: Experiences on Accelerating Data Parallel Training, VLDB 2020; Zhao
et al., PyTorch FSDP, VLDB 2023. Shape suffixes: B rows of a batch.
"""

import copy
import hashlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel
from transformers import PreTrainedModel

from bertline.modeling.strategies import layer_stack
from bertline.params.training import Training

T = TypeVar("T")
Sum = TypeVar("Sum", float, np.ndarray)

GRACE = 5.0
"""Seconds for which a failing process lets process 0 say first what is wrong."""


@dataclass(frozen=True)
class World:
    """The processes of a training: how many they are, and which of them (from 0) this one is."""

    rank: int
    size: int

    @classmethod
    def current(cls) -> "World":
        """Return the processes that `joined` brought together; outside of it this one alone."""
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size())
        return cls(0, 1)

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that writes and speaks."""
        return self.rank == 0

    def share(self, rows_B: np.ndarray) -> tuple[np.ndarray, float]:
        """Return the rows of a batch that this process computes, and what they count: 1, or 0.

        They count 0 where there are fewer rows than processes: one is computed nevertheless, because all
        must take part when gradients are exchanged.
        """
        own = rows_B[self.rank :: self.size]
        return (own, 1.0) if len(own) else (rows_B[:1], 0.0)

    def total(self, values: Sum) -> Sum:
        """Return the sum of a number or array over the processes, together; the same bits on each."""
        if self.size == 1:
            return values
        tensor = torch.from_numpy(np.array(values))
        dist.all_reduce(tensor)
        return float(tensor) if isinstance(values, float) else tensor.numpy()

    def gather(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        """Return the CPU tensor that each process brings, together."""
        if self.size == 1:
            return [tensor]
        tensors = [torch.empty_like(tensor) for _ in range(self.size)]
        dist.all_gather(tensors, tensor)
        return tensors

    def whole(self, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return `tensors`, sharded ones put together on the CPU, together; process 0 alone gets any."""
        found = {}
        for name, each in tensors.items():
            full = unsharded(each)
            if self.is_main:
                found[name] = full if full is each else full.cpu()
        return found

    def wait(self) -> None:
        """Wait, together, until all processes are here."""
        if self.size > 1:
            dist.barrier()

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """Let process 0 through the block before the others, together."""
        if not self.is_main:
            self.wait()
        yield
        if self.is_main:
            self.wait()

    def check_same(self, text: str) -> None:
        """Raise ValueError, together, unless all processes bring the same text."""
        digest = torch.tensor([*hashlib.sha256(text.encode()).digest()])
        if not all(digest.equal(each) for each in self.gather(digest)):
            raise ValueError(
                "the processes differ in code, data, parameters, libraries, hardware or checkpoints; "
                "give all of them the same, in one folder that all see"
            )


@contextmanager
def joined(params: Training) -> Iterator[World]:
    """Bring the processes that `launch` or torchrun started together for the length of the block.

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
            time.sleep(
                GRACE * (1 if world.is_main else 2)
            )  # ended by the launcher, if it was another's fault
        if lost:
            raise ConnectionError("another process ended; run the same command again to continue") from error
        raise
    dist.destroy_process_group()


def _end_with(parent: int) -> None:
    """End this process when `parent` has ended; when interrupted, without a word: the parent has one."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class _Inside(nn.Module):
    """A model whose forward pass is whatever is to be computed with it.

    torch puts weights together and exchanges gradients around the forward pass of what it wraps: so a task
    may call the model twice, or only parts of it.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, what: Callable[[PreTrainedModel], T]) -> T:
        return what(self.model)


class Spread:
    """A model on all processes: a copy on each (DDP), or a part of every weight on each (FSDP2).

    `model` is the one to train, for optimizer and tasks. To shard one, its copy is made: the one given moves
    to the CPU and stays as it is.
    """

    def __init__(self, model: PreTrainedModel, params: Training, world: World) -> None:
        self.model, self._world = model, world
        self._run: nn.Module = _Inside(model)
        self._sharded = world.size > 1 and params.sharding == "shard"
        if self._sharded:
            self._run = inside = _shard(model, world)
            self.model = inside.model

    def start_epoch(self) -> None:
        """Take note, together, of which weights are trained from now on."""
        if self._world.size > 1 and not self._sharded:
            # If none could be unused, torch would exchange gradients in another order from the second step
            # on, and sums of three and more would round differently in a run that is continued.
            self._run = DistributedDataParallel(_Inside(self.model), find_unused_parameters=True)

    def backward(self, loss: Callable[[PreTrainedModel], torch.Tensor], *, last: bool) -> torch.Tensor:
        """Add the gradients of a loss, together; with the `last` of a step they are summed over processes."""
        run = self._run
        with run.no_sync() if isinstance(run, DistributedDataParallel) and not last else nullcontext():
            value: torch.Tensor = run(loss)
            (value * self._world.size).backward()  # type: ignore[no-untyped-call]  # torch takes the mean
        return value.detach()

    def validate(self, scores: Callable[[PreTrainedModel], T]) -> T:
        """Return what is computed with the whole model, together."""
        run: Callable[[Callable[[PreTrainedModel], T]], T] = (
            self._run if self._sharded else _Inside(self.model)
        )
        return run(scores)


def _shard(model: PreTrainedModel, world: World) -> _Inside:
    mesh = init_device_mesh(model.device.type, (world.size,))
    inside = _Inside(copy.deepcopy(model.cpu()))
    try:
        layers = [*inside.model.get_submodule(layer_stack(inside.model))]
    except ValueError:  # layers that share their weights are put together once
        layers = []
    for module in [*layers, inside]:
        fully_shard(module, mesh=mesh, reshard_after_forward=True)
    return inside


def is_sharded(model: PreTrainedModel) -> bool:
    """Say whether each process holds only a part of every weight, so that all must compute together."""
    return any(isinstance(each, DTensor) for each in model.parameters())


def unsharded(tensor: torch.Tensor) -> torch.Tensor:
    """Return all of `tensor`, if it is in shards together."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def as_sharded(tensor: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """Return `tensor` in shards if `own`, of the same shape, is; all processes hold all of it."""
    if isinstance(own, DTensor) and own.shape == tensor.shape:
        return distribute_tensor(tensor.to(own.device), own.device_mesh, own.placements, src_data_rank=None)
    return tensor
