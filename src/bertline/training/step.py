"""One training step: forward, backward, clip, AdamW.

Guarantees the same loss however a batch is cut into micro-batches: tasks return sums, and this module divides
them by the weight of the whole batch. Does not know of epochs and checkpoints.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch.nn.utils import clip_grad_norm_
from torch.optim import AdamW
from transformers import PreTrainedModel

from bertline.encoder.collate import Batch
from bertline.params.training import Training
from bertline.training.cuda_graphs import CudaGraphs
from bertline.training.determinism import random_state, set_random_state
from bertline.training.micro_batching import MicroBatcher
from bertline.training.optimizer import build_adamw, set_lr, step_if_finite
from bertline.training.parallel import ParallelModel, full_tensor, parallelize
from bertline.training.process_group import World
from bertline.training.task import Task
from bertline.training.torch_compile import compile_layers


class StepResult(NamedTuple):
    """The mean loss of the batch, in the unit of the task's loss, and the norm of its gradients."""

    loss: float
    grad_norm: float


class TrainStep:
    """Takes training steps; make one with `build_train_step`.

    Attributes:
        parallel: the model on all processes; `parallel.model` is the one whose weights move.
        optimizer: over the weights that are ever trained.
        micro_batcher: how much of a batch is computed at once.
    """

    def __init__(
        self,
        parallel: ParallelModel,
        optimizer: AdamW,
        micro_batcher: MicroBatcher,
        *,
        task: Task,
        world: World,
        max_grad_norm: float,
        cuda_graphs: CudaGraphs | None,
    ) -> None:
        self.parallel, self.optimizer, self.micro_batcher = parallel, optimizer, micro_batcher
        self._task, self._world, self._max_grad_norm = task, world, max_grad_norm
        self._cuda_graphs = cuda_graphs
        self._device = parallel.model.device

    def __call__(self, rows: np.ndarray, epoch: int, lr: float) -> StepResult:
        """Take one AdamW step on the mean loss of `rows`, at the learning rate `lr`.

        A loss or gradient that is not finite in this process leaves its weights and moments as they were.
        """
        task, world, graphs, results = self._task, self._world, self._cuda_graphs, None
        set_lr(self.optimizer, lr)

        # On a GPU: replay the step that was captured for this shape of batch, if there is one.
        if graphs is not None and not graphs.disabled and len(rows) <= self.micro_batcher.micro_batch:
            batch = task.batch(rows, epoch)
            results = graphs.replay(batch, task.weight(batch), self._captured_step)

        # Otherwise compute it in as many micro-batches as fit into memory.
        if results is None:
            random = random_state(self._device)

            def forward_backward(micro_batches: list[np.ndarray]) -> torch.Tensor:
                self.optimizer.zero_grad(set_to_none=True)  # what an attempt without enough memory left
                set_random_state(random)  # so that each attempt draws the same dropout
                local = [world.local_rows(part) for part in micro_batches]
                batches = [(task.batch(part, epoch), weight) for part, weight in local]
                total = world.sum(sum(task.weight(batch) * weight for batch, weight in batches))
                total_weight = torch.tensor(total, dtype=torch.float32, device=self._device)
                last = len(batches) - 1
                losses = [
                    self._backward(batch, weight, total_weight, last=i == last)
                    for i, (batch, weight) in enumerate(batches)
                ]
                return torch.stack(losses).sum()

            loss = self.micro_batcher.run(rows, forward_backward)
            results = self._clip_and_step(loss)

        local_loss, grad_norm = results.tolist()  # the only wait for a GPU in a step
        return StepResult(world.sum(local_loss), grad_norm)

    def _backward(self, batch: Batch, weight: float, total: torch.Tensor, *, last: bool) -> torch.Tensor:
        """Add the gradients of a micro-batch's part of the mean loss, and return that part."""

        def loss(model: PreTrainedModel) -> torch.Tensor:
            return self._task.loss(model, batch.to(model.device)) * weight / total

        return self.parallel.backward(loss, last=last)

    def _clip_and_step(self, loss: torch.Tensor) -> torch.Tensor:
        """Clip the gradients and take the AdamW step; return loss and gradient norm, float32 [2]."""
        parameters = self.parallel.model.parameters()
        grad_norm = full_tensor(clip_grad_norm_(parameters, self._max_grad_norm))
        results = torch.stack([loss, grad_norm])
        step_if_finite(self.optimizer, results)
        return results

    def _captured_step(self, batch: Batch, weight: torch.Tensor) -> torch.Tensor:
        """Take the same step without any CPU-GPU synchronisation, so that it can be captured."""
        return self._clip_and_step(self._backward(batch, 1.0, weight, last=True))


def build_train_step(model: PreTrainedModel, task: Task, params: Training, world: World) -> TrainStep:
    """Return the step that trains `model` on `task`: parallel, compiled or captured, as `params` say."""
    parallel = parallelize(model, params, world)
    model = parallel.model
    if params.compile:
        compile_layers(model)
    graphs = CudaGraphs.for_training(model, params, world)
    micro_batcher = MicroBatcher(
        params.micro_batch or params.batch_size,
        None if graphs is None else graphs.disable,
        processes=world.size,
    )
    capturable = model.device.type == "cuda" and world.size == 1
    optimizer = build_adamw(task.parameter_groups(model), params.learning_rate, capturable=capturable)
    return TrainStep(
        parallel,
        optimizer,
        micro_batcher,
        task=task,
        world=world,
        max_grad_norm=params.max_grad_norm,
        cuda_graphs=graphs,
    )
