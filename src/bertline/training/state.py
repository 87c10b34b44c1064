"""The state that a killed training continues from, saved to and restored from checkpoints."""

from collections import defaultdict

import torch
from torch.optim import AdamW
from transformers import PreTrainedModel

from bertline.training.checkpoints import Checkpoints
from bertline.training.determinism import random_state, set_random_state
from bertline.training.ema import Ema
from bertline.training.history import History, Step, pack, unpack
from bertline.training.micro_batching import MicroBatcher
from bertline.training.parallel import full_state_dict, shard_like
from bertline.training.process_group import World


class TrainingState:
    """Weights, optimizer, average of the weights, random state, micro-batch and history of a training.

    Attributes:
        history: every step and epoch so far.
        step: how many steps have been taken.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        optimizer: AdamW,
        ema: Ema | None,
        micro_batcher: MicroBatcher,
        world: World,
    ) -> None:
        self._model, self._optimizer, self._ema = model, optimizer, ema
        self._micro_batcher, self._world = micro_batcher, world
        self.history: History = []
        self.step = 0

    def require_space(self, checkpoints: Checkpoints) -> None:
        """Raise an OSError if the disk is too full for the checkpoints (in process 0)."""
        if not self._world.is_main:
            return
        best = sum(map(_bytes, self._model.state_dict().values()))
        trained = [each for group in self._optimizer.param_groups for each in group["params"]]
        averages = [] if self._ema is None else self._ema.averages.values()
        # AdamW keeps two moments for each weight that it trains.
        latest = best + 2 * sum(map(_bytes, trained)) + sum(map(_bytes, averages))
        checkpoints.require_space(latest, best)

    def save(self, checkpoints: Checkpoints) -> None:
        """Replace the last checkpoint; no process goes on before it is written (collective)."""
        world = self._world
        tensors = {f"model.{name}": each for name, each in self._model.state_dict().items()}
        for i, moments in self._optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{i}.{name}": each for name, each in moments.items()}
        if self._ema is not None:
            tensors |= {f"average.{name}": each for name, each in self._ema.averages.items()}
        tensors = full_state_dict(tensors, world)
        for name, state in random_state(self._model.device).items():
            tensors |= {f"random.{i}.{name}": each for i, each in enumerate(world.gather(state))}
        columns, epochs = pack(self.history)
        tensors |= {f"steps.{name}": column for name, column in columns.items()}
        if world.is_main:
            checkpoints.save(tensors, {"epochs": epochs, "micro_batch": self._micro_batcher.micro_batch})
        world.barrier()

    def save_best(self, checkpoints: Checkpoints) -> None:
        """Keep the weights as they are now as the best so far (collective)."""
        weights = full_state_dict(self._model.state_dict(), self._world)
        if self._world.is_main:
            checkpoints.save_best(weights)

    def finish(self, checkpoints: Checkpoints) -> None:
        """Keep only the history and the best weights: nothing continues from here (collective)."""
        if self._world.is_main:
            columns, epochs = pack(self.history)
            checkpoints.save_finished(columns, {"epochs": epochs})
        self._world.barrier()

    def restore(self, checkpoints: Checkpoints) -> None:
        """Take over the last checkpoint, if there is one."""
        saved = checkpoints.load()
        if saved is None:
            return
        tensors, state = saved
        parts: defaultdict[str, dict[str, torch.Tensor]] = defaultdict(dict)
        for name, tensor in tensors.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = tensor
        own = self._model.state_dict()
        weights = {name: shard_like(each, own[name]) for name, each in parts["model"].items()}
        self._model.load_state_dict(weights)
        self._restore_optimizer(parts["optimizer"])
        if self._ema is not None:
            for name, average in self._ema.averages.items():
                average.copy_(shard_like(parts["average"][name], average))
        mine = f"{self._world.rank}."
        random = parts["random"].items()
        set_random_state({name.removeprefix(mine): each for name, each in random if name.startswith(mine)})
        self._micro_batcher.limit(state["micro_batch"])
        self.history = unpack(parts["steps"], state["epochs"])
        self.step = sum(isinstance(each, Step) for each in self.history)

    def _restore_optimizer(self, tensors: dict[str, torch.Tensor]) -> None:
        trained = [each for group in self._optimizer.param_groups for each in group["params"]]
        moments: defaultdict[int, dict[str, torch.Tensor]] = defaultdict(dict)
        for name, tensor in tensors.items():
            i, _, rest = name.partition(".")
            moments[int(i)][rest] = shard_like(tensor, trained[int(i)])
        self._optimizer.load_state_dict({**self._optimizer.state_dict(), "state": moments})


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()
