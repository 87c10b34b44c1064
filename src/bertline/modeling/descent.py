"""A step down the gradient of a batch, computed in as many parts as memory wants.

Guarantees one and the same loss however the batch is cut: tasks give sums, here they are divided. Does not
know of epochs and checkpoints.
"""

from collections.abc import Callable

import numpy as np
import torch
from transformers import PreTrainedModel

from bertline.modeling.batches import Batch
from bertline.modeling.compilation import compile_layers
from bertline.modeling.distributed import Spread, World, unsharded
from bertline.modeling.memory import Room
from bertline.modeling.recording import Recorder
from bertline.modeling.task import Task
from bertline.params.training import Training


class Descent:
    """A model on its way: `model` is the one that is trained, `room` how much of a batch fits at once."""

    def __init__(self, model: PreTrainedModel, task: Task, params: Training, world: World) -> None:
        self._task, self._world, self._max_grad_norm = task, world, params.max_grad_norm
        self.spread = Spread(model, params, world)
        self.model = self.spread.model
        if params.compile:
            compile_layers(self.model)
        self._recorder = Recorder.of(self.model, params, world)
        rows = params.micro_batch or params.batch_size
        release = self._recorder.give_up if self._recorder else None
        self.room = Room(rows, release, processes=world.size)
        # AdamW: Loshchilov and Hutter, Decoupled Weight Decay Regularization, 2019.
        groups, on_gpu = (
            task.parameter_groups(self.model),
            self.model.device.type == "cuda" and world.size == 1,
        )
        self.optimizer = torch.optim.AdamW(groups, lr=params.learning_rate, fused=True, capturable=on_gpu)
        if on_gpu:  # a number would be recorded with the step, and round otherwise in steps that are not
            for group in self.optimizer.param_groups:
                group["lr"] = torch.tensor(params.learning_rate, device=self.model.device)

    def step(self, rows: np.ndarray, epoch: int, rate: float) -> tuple[float, float]:
        """Move the weights at a learning rate; return the loss of `rows` and the norm of its gradients.

        Where either is not a number here, in this process, weights and moments stay as they were.
        """
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(rate * group["scale"])
            else:
                group["lr"] = rate * group["scale"]
        loss, norm = self._descend(rows, epoch).tolist()  # the only wait for a GPU in a step
        return self._world.total(loss), norm

    def _descend(self, rows: np.ndarray, epoch: int) -> torch.Tensor:
        """Move the weights, and return the loss and the norm of its gradients, [2]."""
        recorder = self._recorder
        if recorder is not None and not recorder.given_up and len(rows) <= self.room.rows:
            batch = self._task.batch(rows, epoch)
            outcome = recorder.replay(batch, self._task.weight(batch), self._whole)
            if outcome is not None:
                return outcome
        return self._update(self._gradients(rows, epoch))

    def _whole(self, batch: Batch, total: torch.Tensor) -> torch.Tensor:
        """Do with a batch on the device what `_descend` does, with no word to or from the CPU."""
        return self._update(self.spread.backward(self._mean_loss(batch, 1.0, total), last=True))

    def _mean_loss(
        self, batch: Batch, counts: float, total: torch.Tensor
    ) -> Callable[[PreTrainedModel], torch.Tensor]:
        def loss(model: PreTrainedModel) -> torch.Tensor:
            return self._task.loss(model, batch.to(model.device)) * counts / total

        return loss

    def _update(self, loss: torch.Tensor) -> torch.Tensor:
        """Move the weights down the gradients, unless those or the loss are not numbers."""
        norm = unsharded(torch.nn.utils.clip_grad_norm_(self.model.parameters(), self._max_grad_norm))
        outcome = torch.stack([loss, norm])
        # As torch's own GradScaler tells AdamW to leave weights and moments as they are.
        self.optimizer.found_inf = (~outcome.isfinite().all()).float()  # type: ignore[attr-defined]
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return outcome

    def _gradients(self, rows: np.ndarray, epoch: int) -> torch.Tensor:
        """Leave the gradients of the mean loss of `rows`, and return the part of it that is computed here.

        As many rows at once are computed as fit.
        """
        random = random_state(self.model.device)

        def accumulate(in_parts: list[np.ndarray]) -> torch.Tensor:
            self.optimizer.zero_grad(set_to_none=True)  # what parts that did not fit have left
            set_random_state(random)
            shares = [self._world.share(part) for part in in_parts]
            batches = [(self._task.batch(own, epoch), counts) for own, counts in shares]
            weight = self._world.total(sum(self._task.weight(batch) * counts for batch, counts in batches))
            total = torch.tensor(weight, dtype=torch.float32, device=self.model.device)
            last = len(batches) - 1
            losses = [
                self.spread.backward(self._mean_loss(batch, counts, total), last=i == last)
                for i, (batch, counts) in enumerate(batches)
            ]
            return torch.stack(losses).sum()

        return self.room.fit(rows, accumulate)


def random_state(device: torch.device) -> dict[str, torch.Tensor]:
    """Return what decides the random numbers that are drawn next, dropout's on `device` among them."""
    state = {"cpu": torch.get_rng_state()}
    return state | {"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else state


def set_random_state(state: dict[str, torch.Tensor]) -> None:
    """Go on with the random numbers of then."""
    torch.set_rng_state(state["cpu"])
    if "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"])
