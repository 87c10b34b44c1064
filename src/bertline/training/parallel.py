"""One model on several processes: a copy on each (DDP), or a shard of every weight on each (FSDP2).

Sources: Li et al., PyTorch Distributed: Experiences on Accelerating Data Parallel Training, VLDB 2020; Zhao
et al., PyTorch FSDP, VLDB 2023. What is marked *collective* waits until all processes call it.
"""

import copy
from collections.abc import Callable
from contextlib import nullcontext
from typing import TypeVar

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel
from transformers import PreTrainedModel

from bertline.encoder.layers import layer_stack
from bertline.params.training import Training
from bertline.training.process_group import World

T = TypeVar("T")


class _CallableForward(nn.Module):
    """A model whose forward pass calls the given function with the model.

    DDP and FSDP2 gather weights and exchange gradients around the forward pass of the module they wrap. With
    this module a task may call the model twice in a step, or only parts of it.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, function: Callable[[PreTrainedModel], T]) -> T:
        return function(self.model)


class ParallelModel:
    """A model that all processes train together; make one with `parallelize`.

    Attributes:
        model: the model to give to the optimizer and to tasks.
    """

    def __init__(self, forward: _CallableForward, world: World, *, sharded: bool) -> None:
        self.model = forward.model
        self._world = world
        self._sharded = sharded
        self._forward: nn.Module = forward

    def start_epoch(self) -> None:
        """Find out which weights are trained from now on (collective)."""
        if self._world.size > 1 and not self._sharded:
            # Without find_unused_parameters torch would exchange gradients in another order from the second
            # step on, and a resumed run of three or more processes would round sums differently.
            module = _CallableForward(self.model)
            self._forward = DistributedDataParallel(module, find_unused_parameters=True)

    def backward(self, loss: Callable[[PreTrainedModel], torch.Tensor], *, last: bool) -> torch.Tensor:
        """Add the gradients of `loss`, summed over processes after the `last` micro-batch (collective)."""
        forward = self._forward
        with (
            forward.no_sync() if isinstance(forward, DistributedDataParallel) and not last else nullcontext()
        ):
            value: torch.Tensor = forward(loss)
            # torch takes the mean over the processes; a step wants the sum.
            (value * self._world.size).backward()  # type: ignore[no-untyped-call]
        return value.detach()

    def validate(self, scores: Callable[[PreTrainedModel], T]) -> T:
        """Return `scores` of the model (collective)."""
        if self._sharded:
            found: T = self._forward(scores)
            return found
        return scores(self.model)


def parallelize(model: PreTrainedModel, params: Training, world: World) -> ParallelModel:
    """Return `model` for all processes of `world`.

    With `parallelism: fsdp` and several processes, a copy is sharded; `model` moves to the CPU.
    """
    if world.size > 1 and params.parallelism == "fsdp":
        return ParallelModel(_shard(model, world), world, sharded=True)
    return ParallelModel(_CallableForward(model), world, sharded=False)


def _shard(model: PreTrainedModel, world: World) -> _CallableForward:
    mesh = init_device_mesh(model.device.type, (world.size,))
    forward = _CallableForward(copy.deepcopy(model.cpu()))
    try:
        layers = [*forward.model.get_submodule(layer_stack(forward.model))]
    except ValueError:  # layers that share their weights (ALBERT) are gathered once
        layers = []
    for module in [*layers, forward]:
        fully_shard(module, mesh=mesh, reshard_after_forward=True)
    return forward


def is_sharded(model: PreTrainedModel) -> bool:
    """Return whether each process holds a shard of every weight, so that all must compute together."""
    return any(isinstance(each, DTensor) for each in model.parameters())


def full_tensor(tensor: torch.Tensor) -> torch.Tensor:
    """Return the full tensor of a DTensor (collective), and any other tensor as it is."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def full_state_dict(tensors: dict[str, torch.Tensor], world: World) -> dict[str, torch.Tensor]:
    """Return `tensors`, the sharded ones in full and on the CPU (collective); only process 0 gets any."""
    found = {}
    for name, each in tensors.items():
        full = full_tensor(each)
        if world.is_main:
            found[name] = full if full is each else full.cpu()
    return found


def shard_like(tensor: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """Return this process's shard of `tensor` if `own`, of the same shape, is sharded; else `tensor`."""
    if isinstance(own, DTensor) and own.shape == tensor.shape:
        return distribute_tensor(tensor.to(own.device), own.device_mesh, own.placements, src_data_rank=None)
    return tensor
