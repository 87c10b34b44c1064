"""The training loop: optimise a model on a task, survive being killed.

Guarantees the same bits for the same inputs, parameters, thread setting, hardware and libraries,
interrupted or not. Does not know what is learnt (that is the task's), write reports or print.
"""

import math
from collections import defaultdict
from collections.abc import Iterator
from contextlib import nullcontext

import numpy as np
import torch
from transformers import PreTrainedModel

from bertline.modeling.averaging import Average
from bertline.modeling.checkpoints import Checkpoints
from bertline.modeling.compilation import compiling
from bertline.modeling.descent import Descent, random_state, set_random_state
from bertline.modeling.distributed import World, as_sharded
from bertline.modeling.draws import keys
from bertline.modeling.history import Epoch, History, Step, best_epoch, epoch_loss, has_stalled, pack, unpack
from bertline.modeling.out_of_memory import memory_errors
from bertline.modeling.schedules import learning_rate, steps_of
from bertline.modeling.task import Task
from bertline.params.training import Training


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
        if checkpoints.ended:
            columns, state = checkpoints.load_end()
            yield from unpack(columns, state["epochs"])
            model.load_state_dict(checkpoints.load_best())
            return
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
        run.end()
        model.load_state_dict(checkpoints.load_best())


class _Run:
    """What a killed run continues from: weights, optimizer, average, random state, history, room."""

    def __init__(
        self, model: PreTrainedModel, task: Task, params: Training, checkpoints: Checkpoints
    ) -> None:
        self.task, self.params, self.checkpoints = task, params, checkpoints
        self.world = World.current()
        self.descent = Descent(model, task, params, self.world)
        self.model, self.optimizer = self.descent.model, self.descent.optimizer
        self.spread, self.room = self.descent.spread, self.descent.room
        self.average = None if params.averaging is None else Average(self.model, params.averaging)
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
        loss, slope = self.descent.step(rows, epoch, rate)
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
            micro_batch=self.room.rows,
        )
        self.history.append(done)
        return done

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
        for name, state in random_state(self.model.device).items():
            tensors |= {f"random.{i}.{name}": each for i, each in enumerate(self.world.gather(state))}
        columns, epochs = pack(self.history)
        tensors |= {f"steps.{name}": column for name, column in columns.items()}
        if self.world.is_main:
            self.checkpoints.save(tensors, {"epochs": epochs, "room": self.room.rows})
        self.world.wait()

    def end(self) -> None:
        """Leave only the history, and the best weights: nothing continues from here."""
        if self.world.is_main:
            columns, epochs = pack(self.history)
            self.checkpoints.save_end(columns, {"epochs": epochs})
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
        set_random_state({name.removeprefix(mine): each for name, each in states if name.startswith(mine)})
        self.room.limit(state["room"])
        self.history = unpack(found["steps"], state["epochs"])
        self.step = sum(isinstance(each, Step) for each in self.history)
