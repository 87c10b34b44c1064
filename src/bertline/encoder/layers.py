"""The depth of each parameter of an encoder.

Depth 0 is the embeddings and all else that the layers share, 1 to L are the layers, and L + 1 is what runs
after them (pooler, final norm, classification head). Encoders that share one layer (ALBERT) have no depths.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel


def layer_stack(model: PreTrainedModel) -> str:
    """Return the name of the module list that holds the layers of the encoder.

    Raises:
        ValueError: the encoder has no stack of layers.
    """
    count = model.config.num_hidden_layers
    encoder = f"{model.base_model_prefix}."
    stacks = [
        name
        for name, module in model.named_modules()
        if name.startswith(encoder) and isinstance(module, nn.ModuleList) and len(module) == count
    ]
    if len(stacks) != 1:
        raise ValueError(
            f"{type(model).__name__} has no stack of {count} separate layers; "
            "set layers: null, layer_decay: 1.0, reinit_layers: 0, frozen_layers: null, unfreeze_epochs: 0, "
            "lora_rank: null, compile: false"
        )
    return str(stacks[0])


@dataclass(frozen=True)
class LayerDepths:
    """The depth of every parameter of one model, by name.

    Attributes:
        encoder: the prefix of the names of the encoder's parameters.
        stack: the prefix of the names of the layers' parameters.
        num_layers: L.
        above_layers: names of the modules that run only after the last layer.
    """

    encoder: str
    stack: str
    num_layers: int
    above_layers: frozenset[str]

    @property
    def top(self) -> int:
        """The depth of the head: L + 1."""
        return self.num_layers + 1

    def depth_of(self, name: str) -> int:
        """Return the depth of the parameter `name`, from 0 to L + 1."""
        if name.startswith(self.stack):
            return 1 + int(name.removeprefix(self.stack).split(".")[0])
        below = name.startswith(self.encoder) and name.rpartition(".")[0] not in self.above_layers
        return 0 if below else self.top


def measure_depths(model: PreTrainedModel) -> LayerDepths:
    """Run `model` once on four tokens to see what runs before its last layer and what after it.

    The model must be whole, not sharded. Parameters that LoRA adds or renames later have depths too. Draws no
    random numbers.

    Raises:
        ValueError: the encoder has no stack of layers, or does not run on plain texts.
    """
    stack = layer_stack(model)
    return LayerDepths(
        encoder=f"{model.base_model_prefix}.",
        stack=f"{stack}.",
        num_layers=model.config.num_hidden_layers,
        above_layers=_modules_above(model, stack),
    )


def _modules_above(model: PreTrainedModel, stack: str) -> frozenset[str]:
    """Return the names of the modules that run only after the last layer."""
    layers, config = model.get_submodule(stack), model.config
    ran: dict[bool, set[str]] = {False: set(), True: set()}
    ended = False

    def note(name: str) -> None:
        ran[ended].add(name)

    def end(*_: Any) -> None:
        nonlocal ended
        ended = True

    token = ((config.pad_token_id or 0) + 1) % config.vocab_size
    with ExitStack() as hooks, eval_mode(model), torch.no_grad():
        hooks.enter_context(layers[-1].register_forward_hook(end))
        for name, module in model.named_modules():
            hook = module.register_forward_pre_hook(lambda *_, name=name: note(name))
            hooks.enter_context(hook)
        try:
            model(input_ids=torch.full((1, 4), token, device=model.device))
        except Exception as error:  # architectures raise errors of any type
            raise ValueError(f"{type(model).__name__} does not run on plain texts: {error}") from error
    return frozenset(ran[True] - ran[False])


@contextmanager
def eval_mode(model: PreTrainedModel) -> Iterator[None]:
    """Switch dropout off within the block; each module then gets back the mode it had."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def reinitialize_parameters(model: PreTrainedModel, names: list[str]) -> None:
    """Draw the parameters `names` of `model` as its architecture does at the start of pre-training."""
    for name in names:
        model.get_parameter(name)._is_hf_initialized = False  # else transformers keeps what came from a file
    for module in sorted({name.rpartition(".")[0] for name in names}):
        model._init_weights(model.get_submodule(module))


def enable_gradient_checkpointing(model: PreTrainedModel) -> None:
    """Let `model` compute activations twice instead of keeping them: less memory, a third slower.

    Source: Chen et al., Training Deep Nets with Sublinear Memory Cost, 2016.
    """
    enable = getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)
    enable({"use_reentrant": False})
    if hasattr(model, "_require_grads_hook") or hasattr(model, "_require_grads_hooks"):
        model.disable_input_require_grads()  # only the reentrant kind needs it, and frozen layers would pay
