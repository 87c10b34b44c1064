"""Training steps as CUDA graphs: captured once for each shape of batch, and replayed from then on.

A step of BERT is more than a thousand kernels. For batches of short texts a CPU launches them several times
more slowly than a GPU runs them; a graph is one launch. Source: Nguyen et al., Accelerating PyTorch with CUDA
Graphs, 2021.

Guarantees the bits of eager steps, random numbers included. So it does not matter that an interrupted run
captures other steps than a whole one. Relies on the batch being all that differs from step to step.

These steps stay eager:

- padded batches, whose mask decides which kernels run, so the CPU must know more than the shape
- batches that are computed in several micro-batches
- steps of several processes, or with gradient checkpointing
"""

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple, Self

import torch
from torch._dynamo.exc import TorchDynamoException
from transformers import PreTrainedModel

from bertline.encoder.collate import Batch
from bertline.encoder.oom import OutOfMemoryError, is_out_of_memory
from bertline.encoder.unpadding import supports_buckets
from bertline.params.training import Training
from bertline.training.process_group import World

MAX_GRAPHS = 64
"""Graphs that are captured, at most: each takes time, and memory of the driver."""

Step = Callable[[Batch, torch.Tensor], torch.Tensor]
"""A step on a batch and the batch's weight, both on the GPU; returns a tensor of results."""


class _Captured(NamedTuple):
    """A graph, with the memory that it reads (batch and weight) and the memory that it writes (results)."""

    graph: torch.cuda.CUDAGraph
    batch: Batch
    weight: torch.Tensor
    results: torch.Tensor


class CudaGraphs:
    """The captured steps of one training. They share memory: read the results before the next replay."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.disabled = False
        self._device, self._parameters = model.device, [*model.parameters()]
        self._graphs: dict[Hashable, _Captured | None] = {}  # None: one eager step has run
        self._pool: Any = None  # torch has no public type for the handle

    @classmethod
    def for_training(cls, model: PreTrainedModel, params: Training, world: World) -> Self | None:
        """Return the graphs of a training of `model`; None if its steps cannot or must not be captured."""
        wanted = params.cuda_graphs and world.size == 1 and not params.gradient_checkpointing
        return cls(model) if wanted and supports_buckets(model) else None

    def replay(self, batch: Batch, weight: float, step: Step) -> torch.Tensor | None:
        """Return the results of `step`, replayed from the graph of the batch's shape.

        None: run this step eagerly. The first step of each shape is eager, so that kernels and optimizer
        state exist, and the memory of a step is known, before capture.

        Raises:
            ValueError: the step cannot be captured; it waits for the GPU, for example.
            OutOfMemoryError: memory ran out during capture.
        """
        key = batch.signature, sum(each.requires_grad for each in self._parameters)
        if key not in self._graphs:
            if len(self._graphs) < MAX_GRAPHS:
                self._graphs[key] = None
            return None
        captured = self._graphs[key]
        if captured is None:
            if not self._has_memory():
                self.disable()
                return None
            self._graphs[key] = captured = self._capture(batch, step)
        into = captured.batch.tensors()
        for name, tensor in batch.tensors().items():
            into[name].copy_(tensor, non_blocking=True)
        captured.weight.fill_(weight)
        captured.graph.replay()
        return captured.results

    def disable(self) -> bool:
        """Delete all graphs and replay none from now on; return whether that freed memory."""
        freed = any(self._graphs.values())
        self._graphs.clear()
        self.disabled = True
        torch.cuda.empty_cache()
        return freed

    def _has_memory(self) -> bool:
        """Return whether free GPU memory is over twice the peak of a step: for graphs and for eager steps."""
        if any(self._graphs.values()):
            return True
        torch.cuda.empty_cache()
        free, _ = torch.cuda.mem_get_info(self._device)
        return free > 2 * torch.cuda.max_memory_allocated(self._device)

    def _capture(self, batch: Batch, step: Step) -> _Captured:
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        moved, weight = batch.to(self._device), torch.ones((), device=self._device)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, pool=self._pool):
                results = step(moved, weight)
        except TorchDynamoException:
            raise
        except RuntimeError as error:
            first = error.__context__ or error  # torch's own message may only say that there was an error
            reason = str(first).strip().partition("\n")[0]
            if is_out_of_memory(first):
                raise OutOfMemoryError(
                    f"memory ran out while a step was captured; set cuda_graphs: false ({reason})"
                ) from error
            raise ValueError(
                f"a step cannot be captured as a CUDA graph here; set cuda_graphs: false ({reason})"
            ) from error
        return _Captured(graph, moved, weight, results)
