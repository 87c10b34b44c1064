"""Steps on a GPU, recorded once for each shape of a batch and replayed from then on (CUDA graphs).

A step of BERT is more than a thousand kernels, and a CPU launches them more slowly than a GPU runs them: for
batches of short texts, several times as slowly. Guarantees the bits of steps that are not recorded, random
numbers included: so it makes no difference which ones were, in a run that was interrupted. Relies on a batch
being all that differs from step to step. Source: Nguyen et al., Accelerating PyTorch with CUDA Graphs, 2021.

Not recorded are batches of which the CPU must know more than the shape (padded ones, whose mask decides what
is run), batches computed in parts, and steps of several processes or with gradient checkpointing.
"""

from collections.abc import Callable, Hashable
from typing import NamedTuple, Self

import torch
from torch._dynamo.exc import TorchDynamoException
from transformers import PreTrainedModel

from bertline.modeling.batches import Batch
from bertline.modeling.distributed import World
from bertline.modeling.out_of_memory import OutOfMemoryError, is_out_of_memory
from bertline.modeling.unpadded import can_fill
from bertline.params.training import Training

SHAPES = 64
"""That are recorded, at most: each takes time, and memory of the driver."""

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
        self.given_up = False
        self._device, self._weights = model.device, [*model.parameters()]
        self._met: dict[Hashable, _Recorded | None] = {}
        self._memory = torch.cuda.graph_pool_handle()

    @classmethod
    def of(cls, model: PreTrainedModel, params: Training, world: World) -> Self | None:
        """Return what records the steps of `model`, None if they cannot be or are not to be recorded."""
        wanted = params.cuda_graphs and world.size == 1 and not params.gradient_checkpointing
        return cls(model) if wanted and can_fill(model) else None

    def replay(self, batch: Batch, total: float, step: Step) -> torch.Tensor | None:
        """Return the outcome of `step`; None if it is to be taken as usual, as with the first of a shape.

        After that all it needs is there: kernels, moments, and a measure of its memory.

        Raises:
            ValueError: the step cannot be recorded: it waits for the GPU, say.
        """
        key = batch.shape, sum(each.requires_grad for each in self._weights)
        if key not in self._met:
            if len(self._met) < SHAPES:
                self._met[key] = None
            return None
        recorded = self._met[key]
        if recorded is None:
            if not self._has_memory():
                self.give_up()
                return None
            self._met[key] = recorded = self._record(batch, step)
        into = recorded.batch.tensors()
        for name, tensor in batch.tensors().items():
            into[name].copy_(tensor, non_blocking=True)
        recorded.total.fill_(total)
        recorded.graph.replay()
        return recorded.outcome

    def give_up(self) -> bool:
        """Forget all steps, which are not to be replayed from now on; say whether that gives back memory."""
        gives = any(self._met.values())
        self._met.clear()
        self.given_up = True
        torch.cuda.empty_cache()
        return gives

    def _has_memory(self) -> bool:
        """Say whether what a step takes is there twice: for those recorded, and for others beside them."""
        if any(self._met.values()):
            return True
        torch.cuda.empty_cache()
        free, _ = torch.cuda.mem_get_info(self._device)
        return free > 2 * torch.cuda.max_memory_allocated(self._device)

    def _record(self, batch: Batch, step: Step) -> _Recorded:
        moved, total = batch.to(self._device), torch.ones((), device=self._device)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, pool=self._memory):
                outcome = step(moved, total)
        except TorchDynamoException:
            raise
        except RuntimeError as error:
            first = error.__context__ or error  # torch's own may say only that there was one
            reason = str(first).strip().partition("\n")[0]
            if is_out_of_memory(first):
                raise OutOfMemoryError(
                    f"memory ran out when a step was recorded; set cuda_graphs: false ({reason})"
                ) from error
            raise ValueError(
                f"a step cannot be recorded as a CUDA graph here; set cuda_graphs: false ({reason})"
            ) from error
        return _Recorded(graph, moved, total, outcome)
