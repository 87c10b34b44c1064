"""The training loop: optimise a model on a task, survive being killed.

Guarantees the same bits for the same inputs, parameters, thread setting, hardware and libraries,
interrupted or not. Does not know what is learnt (that is the task's), write reports or print.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any, Protocol

import numpy as np
import torch
from transformers import PreTrainedModel

from bertline.modeling.averaging import Average
from bertline.modeling.batches import Batch
from bertline.modeling.checkpoints import Checkpoints
from bertline.modeling.compilation import compile_layers, compiling
from bertline.modeling.distributed import Spread, World, as_sharded, unsharded
from bertline.modeling.draws import keys
from bertline.modeling.history import Epoch, History, Step, best_epoch, epoch_loss, has_stalled, pack, unpack
from bertline.modeling.memory import Room, memory_errors
from bertline.modeling.recording import Recorder
from bertline.modeling.schedules import learning_rate, steps_of
from bertline.params.training import Training


class Task(Protocol):
    """What a model learns. Orders and batches are pure functions of seed, epoch and rows."""

    select_by: str
    """The score by which the best epoch is chosen: the highest, or of "loss" the lowest."""

    def __len__(self) -> int:
        """Return the rows of the training split."""

    def parameter_groups(self, model: PreTrainedModel) -> list[dict[str, Any]]:
        """Return AdamW's groups; `scale` multiplies the learning rate of one."""

    def start_epoch(self, model: PreTrainedModel, epoch: int) -> None:
        """Put the model into the state in which `epoch` trains it."""

    def order(self, epoch: int) -> list[np.ndarray]:
        """Return the row indices of each batch."""

    def batch(self, rows: np.ndarray, epoch: int) -> Batch:
        """Return inputs and targets of some rows."""

    def weight(self, batch: Batch) -> float:
        """Return what a batch counts in a mean: its rows, say, or its masked tokens."""

    def loss(self, model: PreTrainedModel, batch: Batch) -> torch.Tensor:
        """Return the loss summed, not averaged, over what `weight` counts."""

    def validate(self, model: PreTrainedModel) -> dict[str, float]:
        """Return scores on the validation split, among them `select_by`."""


class TrainingDivergedError(ValueError):
    """The loss or its gradients are no longer numbers; weights and last checkpoint are from before."""


def train(
    model: PreTrainedModel, task: Task, params: Training, checkpoints: Checkpoints
) -> Iterator[Step | Epoch]:
    """Train `model` in place on `task`; yield every step and epoch, also those of a resumed run.

    When the iterator ends, `model` holds the weights of the best epoch.

    Raises:
        TrainingDivergedError: the loss or its gradients are NaN or infinite. The same run, started again,
            continues from the last checkpoint and ends in the same error.
        OutOfMemoryError: not even one row fits into memory, or not even the model.
        OSError: a checkpoint cannot be written; the one before it stays.
    """
    steps = steps_of(len(task), params)
    steps_per_epoch = steps // params.epochs
    with memory_errors(), compiling(params):
        run = _Run(model, task, params, checkpoints)
        yield from run.history
        for epoch in range(run.step // steps_per_epoch + 1, params.epochs + 1):
            if has_stalled(run.history, task.select_by, params.patience):
                break
            task.start_epoch(run.model, epoch)
            run.spread.start_epoch()
            for rows in task.order(epoch)[run.step % steps_per_epoch :]:
                yield run.take_step(rows, epoch, steps)
                if run.step % params.checkpoint_every == 0 and run.step % steps_per_epoch:
                    run.save()
            yield run.finish_epoch(epoch)
        model.load_state_dict(checkpoints.load_best())


class _Run:
    """What a killed run continues from: weights, optimizer, average, random state, history, room."""

    def __init__(
        self, model: PreTrainedModel, task: Task, params: Training, checkpoints: Checkpoints
    ) -> None:
        self.task, self.params, self.checkpoints = task, params, checkpoints
        self.world = World.current()
        self.spread = Spread(model, params, self.world)
        self.model = self.spread.model
        if params.compile:
            compile_layers(self.model)
        # AdamW: Loshchilov and Hutter, Decoupled Weight Decay Regularization, 2019.
        groups = task.parameter_groups(self.model)
        self.recorder = Recorder.of(self.model, params, self.world)
        recorded = self.recorder is not None
        self.optimizer = torch.optim.AdamW(groups, lr=params.learning_rate, fused=True, capturable=recorded)
        if recorded:  # a number would be recorded with the step
            for group in self.optimizer.param_groups:
                group["lr"] = torch.tensor(params.learning_rate, device=self.model.device)
        self.average = None if params.averaging is None else Average(self.model, params.averaging)
        self.room = Room((params.micro_batch or params.batch_size) * self.world.size)
        self.history: History = []
        self.step = 0
        if not self.world.is_main:  # its own dropout
            torch.manual_seed(int(keys(params.seed, self.world.rank)[0]))
        self._restore()
        self.world.check_same(str(self.step))

    def take_step(self, rows: np.ndarray, epoch: int, steps: int) -> Step:
        """Move the weights down the gradient of the loss of `rows`."""
        self.step += 1
        rate = learning_rate(self.step, steps, self.params)
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(rate * group["scale"])
            else:
                group["lr"] = rate * group["scale"]
        own, slope = self._descend(rows, epoch).tolist()  # the only wait for a GPU in a step
        loss = self.world.total(own)
        if not math.isfinite(loss + slope):
            raise TrainingDivergedError(
                f"the loss is {loss:g} and the norm of its gradients {slope:g} at step {self.step}; lower "
                f"learning_rate ({self.params.learning_rate:g}) or raise warmup ({self.params.warmup:g})"
            )
        if self.average is not None:
            self.average.update(self.step)
        done = Step(
            step=self.step,
            loss=loss,
            learning_rate=rate,
            examples=len(rows),
            micro_batch=self.room.rows // self.world.size,
        )
        self.history.append(done)
        return done

    def _descend(self, rows: np.ndarray, epoch: int) -> torch.Tensor:
        """Move the weights, and return the loss and the norm of its gradients, [2]."""
        if self.recorder is not None and len(rows) <= self.room.rows:
            batch = self.task.batch(rows, epoch)
            if self.recorder.has_met(batch):  # and what it needs is there: memory, kernels, moments
                return self.recorder.replay(batch, self.task.weight(batch), self._whole)
        return self._update(self._gradients(rows, epoch))

    def _whole(self, batch: Batch, total: torch.Tensor) -> torch.Tensor:
        """Do with a batch on the device what `_descend` does, with no word to or from the CPU."""
        return self._update(self.spread.backward(self._mean_loss(batch, 1.0, total), last=True))

    def _mean_loss(
        self, batch: Batch, counts: float, total: torch.Tensor
    ) -> Callable[[PreTrainedModel], torch.Tensor]:
        def loss(model: PreTrainedModel) -> torch.Tensor:
            return self.task.loss(model, batch.to(model.device)) * counts / total

        return loss

    def _update(self, loss: torch.Tensor) -> torch.Tensor:
        """Move the weights down the gradients, unless those or the loss are not numbers."""
        norm = unsharded(torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.params.max_grad_norm))
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
        random = _random_state(self.model.device)

        def accumulate(in_parts: list[np.ndarray]) -> torch.Tensor:
            self.optimizer.zero_grad(set_to_none=True)  # what parts that did not fit have left
            _set_random_state(random)
            shares = [self.world.share(part) for part in in_parts]
            batches = [(self.task.batch(own, epoch), counts) for own, counts in shares]
            weight = self.world.total(sum(self.task.weight(batch) * counts for batch, counts in batches))
            total = torch.tensor(weight, dtype=torch.float32, device=self.model.device)
            last = len(batches) - 1
            losses = [
                self.spread.backward(self._mean_loss(batch, counts, total), last=i == last)
                for i, (batch, counts) in enumerate(batches)
            ]
            return torch.stack(losses).sum()

        return self.room.fit(rows, accumulate)

    def finish_epoch(self, epoch: int) -> Epoch:
        """Score the weights, keep them if they are the best so far, and save everything."""
        train_loss = epoch_loss(self.history)
        with self.average.in_place() if self.average else nullcontext():
            done = Epoch(epoch=epoch, train_loss=train_loss, scores=self.spread.validate(self.task.validate))
            best = best_epoch(self.history, self.task.select_by)
            if best is None or done.better_than(best, self.task.select_by):
                weights = self.world.whole(self.model.state_dict())
                if self.world.is_main:
                    self.checkpoints.save_best(weights)
        self.history.append(done)
        self.save()
        return done

    def save(self) -> None:
        """Replace the last checkpoint; no process goes on before it is there."""
        tensors = {f"model.{name}": each for name, each in self.model.state_dict().items()}
        for i, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{i}.{name}": each for name, each in moments.items()}
        if self.average is not None:
            tensors |= {f"average.{name}": each for name, each in self.average.averages.items()}
        tensors = self.world.whole(tensors)
        for name, state in _random_state(self.model.device).items():
            tensors |= {f"random.{i}.{name}": each for i, each in enumerate(self.world.gather(state))}
        columns, epochs = pack(self.history)
        tensors |= {f"steps.{name}": column for name, column in columns.items()}
        if self.world.is_main:
            self.checkpoints.save(tensors, {"epochs": epochs, "room": self.room.rows})
        self.world.wait()

    def _restore(self) -> None:
        saved = self.checkpoints.load()
        if saved is None:
            return
        tensors, state = saved
        found: defaultdict[str, dict[str, torch.Tensor]] = defaultdict(dict)
        for name, tensor in tensors.items():
            part, _, rest = name.partition(".")
            found[part][rest] = tensor
        own = self.model.state_dict()
        weights = {name: as_sharded(each, own[name]) for name, each in found["model"].items()}
        self.model.load_state_dict(weights)
        trained = [each for group in self.optimizer.param_groups for each in group["params"]]
        moments: defaultdict[int, dict[str, torch.Tensor]] = defaultdict(dict)
        for name, tensor in found["optimizer"].items():
            i, _, rest = name.partition(".")
            moments[int(i)][rest] = as_sharded(tensor, trained[int(i)])
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": moments})
        if self.average is not None:
            for name, average in self.average.averages.items():
                average.copy_(as_sharded(found["average"][name], average))
        mine = f"{self.world.rank}."
        states = found["random"].items()
        _set_random_state({name.removeprefix(mine): each for name, each in states if name.startswith(mine)})
        self.room.rows = state["room"]
        self.history = unpack(found["steps"], state["epochs"])
        self.step = sum(isinstance(each, Step) for each in self.history)


def _random_state(device: torch.device) -> dict[str, torch.Tensor]:
    state = {"cpu": torch.get_rng_state()}
    return state | {"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else state


def _set_random_state(state: dict[str, torch.Tensor]) -> None:
    torch.set_rng_state(state["cpu"])
    if "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"])
