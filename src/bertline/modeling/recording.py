"""Steps on a GPU, recorded once for each shape of a batch and replayed from then on (CUDA graphs).

A step of BERT is more than a thousand kernels, and a CPU launches them more slowly than a GPU runs them: for
batches of short texts, several times as slowly. Guarantees the bits of steps that are not recorded, random
numbers included: so it makes no difference which ones were, in a run that was interrupted. Source: Nguyen et
al., Accelerating PyTorch with CUDA Graphs, 2021.

Does not work for batches of which the CPU must know more than the shape: padded ones, whose mask decides
what is run, and not with several processes or with gradient checkpointing. They are never recorded.
"""

from collections.abc import Callable, Hashable
from typing import NamedTuple, Self

import torch
from transformers import PreTrainedModel

from bertline.modeling.batches import Batch
from bertline.modeling.distributed import World
from bertline.modeling.unpadded import can_fill
from bertline.params.training import Training

Step = Callable[[Batch, torch.Tensor], torch.Tensor]
"""A step with a batch and what it counts, both on the GPU; it returns what is to be known of it."""


class _Recorded(NamedTuple):
    """A step, the memory that it reads its batch from, and the one that it leaves its outcome in."""

    graph: torch.cuda.CUDAGraph
    batch: Batch
    total: torch.Tensor
    outcome: torch.Tensor


class Recorder:
    """The recorded steps of a training; they share memory, so one's outcome is to be read before the next."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        self._met: dict[Hashable, _Recorded | None] = {}
        self._memory = torch.cuda.graph_pool_handle()

    @classmethod
    def of(cls, model: PreTrainedModel, params: Training, world: World) -> Self | None:
        """Return what records the steps of `model`, None if they cannot be or are not to be recorded."""
        fits = world.size == 1 and not params.gradient_checkpointing and can_fill(model)
        return cls(model) if params.cuda_graphs and fits else None

    def has_met(self, batch: Batch) -> bool:
        """Say whether a batch of this shape was here before, with the same weights to be trained."""
        known = self._key(batch) in self._met
        self._met.setdefault(self._key(batch), None)
        return known

    def replay(self, batch: Batch, total: float, step: Step) -> torch.Tensor:
        """Return the outcome of `step` for a batch whose shape `has_met`.

        Raises:
            ValueError: the step cannot be recorded: it waits for the GPU, say.
        """
        key = self._key(batch)
        recorded = self._met[key]
        if recorded is None:
            self._met[key] = recorded = self._record(batch, step)
        into = recorded.batch.tensors()
        for name, tensor in batch.tensors().items():
            into[name].copy_(tensor, non_blocking=True)
        recorded.total.fill_(total)
        recorded.graph.replay()
        return recorded.outcome

    def _key(self, batch: Batch) -> Hashable:
        return batch.shape, sum(each.requires_grad for each in self._model.parameters())

    def _record(self, batch: Batch, step: Step) -> _Recorded:
        moved, total = batch.to(self._model.device), torch.ones((), device=self._model.device)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, pool=self._memory):
                outcome = step(moved, total)
        except RuntimeError as error:
            reason = str(error.__context__ or error).strip().partition("\n")[0]
            raise ValueError(
                f"a step cannot be recorded as a CUDA graph here; set cuda_graphs: false ({reason})"
            ) from error
        return _Recorded(graph, moved, total, outcome)
