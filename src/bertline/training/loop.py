"""The training loop: optimise a model on a task, and continue where a killed run stopped.

Guarantees the same bits for the same inputs, parameters, thread setting, hardware and libraries, whether the
run was interrupted or not. The task decides what is learnt; this module neither writes reports nor prints.
"""

import math
from collections.abc import Iterator
from contextlib import nullcontext

import numpy as np
import torch
from transformers import PreTrainedModel

from bertline.encoder.oom import memory_errors
from bertline.params.training import Training
from bertline.training.checkpoints import Checkpoints
from bertline.training.counter_rng import keys
from bertline.training.ema import Ema
from bertline.training.history import Epoch, Step, best_epoch, epoch_loss, has_stalled, unpack
from bertline.training.lr_schedule import learning_rate, total_steps
from bertline.training.process_group import World
from bertline.training.state import TrainingState
from bertline.training.step import build_train_step
from bertline.training.task import Task
from bertline.training.torch_compile import compiling


class TrainingDivergedError(ValueError):
    """The loss or its gradients are not finite; weights and last checkpoint are from the step before."""


def train(
    model: PreTrainedModel, task: Task, params: Training, checkpoints: Checkpoints
) -> Iterator[Step | Epoch]:
    """Train `model` in place on `task`; yield every step and epoch, also those of a run that is resumed.

    When the iterator ends, `model` holds the weights of the best epoch.

    Raises:
        TrainingDivergedError: the loss or its gradients are NaN or infinite. The same run, started again,
            continues from the last checkpoint and ends in the same error.
        OutOfMemoryError: not even one row fits into memory, or not even the model.
        OSError: a checkpoint cannot be written; the one before it stays.
    """
    steps = total_steps(len(task), params)
    steps_per_epoch = steps // params.epochs
    with memory_errors(), compiling(params):
        if checkpoints.finished:
            columns, state = checkpoints.load_finished()
            yield from unpack(columns, state["epochs"])
            model.load_state_dict(checkpoints.load_best())
            return
        run = _Run(model, task, params, checkpoints)
        run.state.require_space(checkpoints)
        yield from run.state.history
        for epoch in range(run.state.step // steps_per_epoch + 1, params.epochs + 1):
            if has_stalled(run.state.history, task.select_by, params.patience):
                break
            run.start_epoch(epoch)
            for rows in task.order(epoch)[run.state.step % steps_per_epoch :]:
                yield run.take_step(rows, epoch, steps)
                if run.state.step % params.checkpoint_every == 0 and run.state.step % steps_per_epoch:
                    run.state.save(checkpoints)
            yield run.finish_epoch(epoch)
        run.state.finish(checkpoints)
        model.load_state_dict(checkpoints.load_best())


class _Run:
    """A training from its last checkpoint on."""

    def __init__(
        self, model: PreTrainedModel, task: Task, params: Training, checkpoints: Checkpoints
    ) -> None:
        world = World.current()
        self._task, self._params, self._checkpoints = task, params, checkpoints
        self._train_step = build_train_step(model, task, params, world)
        self._parallel = self._train_step.parallel
        self._ema = None if params.ema_decay is None else Ema(self._parallel.model, params.ema_decay)
        self.state = TrainingState(
            self._parallel.model,
            self._train_step.optimizer,
            self._ema,
            self._train_step.micro_batcher,
            world,
        )
        if not world.is_main:  # each process draws its own dropout
            torch.manual_seed(int(keys(params.seed, world.rank)[0]))
        self.state.restore(checkpoints)
        world.check_same(str(self.state.step))

    def start_epoch(self, epoch: int) -> None:
        """Put the model into the state in which `epoch` trains it."""
        self._task.start_epoch(self._parallel.model, epoch)
        self._parallel.start_epoch()

    def take_step(self, rows: np.ndarray, epoch: int, steps: int) -> Step:
        """Take the next of `steps` steps, on the loss of `rows`."""
        state, params = self.state, self._params
        state.step += 1
        lr = learning_rate(state.step, steps, params)
        loss, grad_norm = self._train_step(rows, epoch, lr)
        if not math.isfinite(loss + grad_norm):
            raise TrainingDivergedError(
                f"the loss is {loss:g} and the norm of its gradients {grad_norm:g} at step {state.step}; "
                f"lower learning_rate ({params.learning_rate:g}) or raise warmup ({params.warmup:g})"
            )
        if self._ema is not None:
            self._ema.update(state.step)
        step = Step(
            step=state.step,
            loss=loss,
            learning_rate=lr,
            examples=len(rows),
            micro_batch=self._train_step.micro_batcher.micro_batch,
        )
        state.history.append(step)
        return step

    def finish_epoch(self, epoch: int) -> Epoch:
        """Validate the weights, keep them if they are the best so far, and save everything."""
        task, history = self._task, self.state.history
        train_loss = epoch_loss(history)
        with self._ema.swapped_in() if self._ema else nullcontext():
            scores = self._parallel.validate(task.validate)
            finished = Epoch(epoch=epoch, train_loss=train_loss, scores=scores)
            best = best_epoch(history, task.select_by)
            if best is None or finished.better_than(best, task.select_by):
                self.state.save_best(self._checkpoints)
        history.append(finished)
        self.state.save(self._checkpoints)
        return finished
