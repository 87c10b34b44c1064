"""Fine-tuning strategies that treat the layers of an encoder differently.

They need to know how deep a parameter lies: 0 for the embeddings and whatever else the layers share, 1 to L
for the layers, L + 1 for what comes after them (pooler, final norm, classification head). Encoders that share
one layer (ALBERT) have no depth, and get an error where a strategy needs one.

The order of the strategies: `keep_layers`, `reinitialize`, `freeze`, `lora.add`; then the optimizer over
`parameter_groups`, which holds every parameter that is ever trained, and `unfreeze` as each epoch starts.
"""

import copy
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from bertline.modeling.encoder import draw_anew, evaluating
from bertline.params.finetune import Params as FinetuneParams
from bertline.params.training import Training

NOT_BY_LAYER = ("architectures", "pos_att_type")
"""Lists in a config that may happen to be as long as there are layers."""


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
            f"{type(model).__name__} has no stack of {count} layers of their own; "
            "set layers: null, layer_decay: 1.0, reinit_layers: 0, frozen_layers: null, unfreeze_epochs: 0, "
            "lora_rank: null, compile: false"
        )
    return str(stacks[0])


def depths(model: PreTrainedModel) -> dict[str, int]:
    """Return the depth of every parameter of `model`, by name; ValueError if it has no stack of layers.

    The first call runs the model once, to see what comes before its last layer and what after it: so it must
    be whole (not sharded).
    """
    count = model.config.num_hidden_layers
    encoder, stack = f"{model.base_model_prefix}.", f"{layer_stack(model)}."
    if not hasattr(model, "_above_layers"):
        model._above_layers = _above(model)
    found = {}
    for name, _ in model.named_parameters():
        if name.startswith(stack):
            found[name] = 1 + int(name.removeprefix(stack).split(".")[0])
        else:
            below = name.startswith(encoder) and name.rpartition(".")[0] not in model._above_layers
            found[name] = 0 if below else count + 1
    return found


def _above(model: PreTrainedModel) -> set[str]:
    """Return the names of the modules that only run when the last layer has."""
    layers, config = model.get_submodule(layer_stack(model)), model.config
    ran: dict[bool, set[str]] = {False: set(), True: set()}
    ended = False

    def note(name: str) -> None:
        ran[ended].add(name)

    def end(*_: Any) -> None:
        nonlocal ended
        ended = True

    token = ((config.pad_token_id or 0) + 1) % config.vocab_size
    with ExitStack() as hooks, evaluating(model), torch.no_grad():
        hooks.enter_context(layers[-1].register_forward_hook(end))
        for name, module in model.named_modules():
            hook = module.register_forward_pre_hook(lambda *_, name=name: note(name))
            hooks.enter_context(hook)
        try:
            model(input_ids=torch.full((1, 4), token, device=model.device))
        except Exception as error:  # whatever an architecture raises
            raise ValueError(f"{type(model).__name__} does not run on plain texts: {error}") from error
    return ran[True] - ran[False]


def keep_layers(model: PreTrainedModel, layers: int | None) -> None:
    """Keep `layers` layers of the encoder, evenly spaced from the first to the last, and drop the others.

    What is left is a standard, smaller model. None keeps all. Source: Sanh et al., DistilBERT, 2019, whose
    student starts from every other layer; Sajjad et al., On the Effect of Dropping Layers of Pre-trained
    Transformer Models, 2020, who drop them before fine-tuning.

    Raises:
        ValueError: the encoder has fewer layers, or is no longer one that its config describes.
    """
    if layers is None:
        return
    count = model.config.num_hidden_layers
    if layers > count:
        raise ValueError(f"finetune.layers is {layers}; this encoder has {count} layers")
    stack = model.get_submodule(layer_stack(model))
    kept = [round(i * (count - 1) / max(layers - 1, 1)) for i in range(layers)]
    for i in reversed(range(count)):
        if i not in kept:
            del stack[i]
    config = model.config
    for name, each in vars(config).items():  # of each layer how far it attends, say
        if isinstance(each, list | tuple) and len(each) == count and name not in NOT_BY_LAYER:
            setattr(config, name, [each[i] for i in kept])
    try:
        config.num_hidden_layers = layers
        with torch.device("meta"):
            described = type(model)(copy.deepcopy(config)).state_dict()
    except NotImplementedError:
        described = {}
    if _shapes(described) != _shapes(model.state_dict()):
        raise ValueError(f"{type(model).__name__} cannot do with fewer layers than it has; set layers: null")


def _shapes(state: dict[str, torch.Tensor]) -> dict[str, torch.Size]:
    return {name: each.shape for name, each in state.items()}


def reinitialize(model: PreTrainedModel, layers: int) -> None:
    """Draw the top `layers` layers and the pooler anew, as at the start of pre-training.

    Source: Zhang et al., Revisiting Few-sample BERT Fine-tuning, ICLR 2021: the top layers are the most
    specialised to pre-training, and hurt small data sets.
    """
    if not layers:
        return
    count = model.config.num_hidden_layers
    if layers > count:
        raise ValueError(f"finetune.reinit_layers is {layers}; this encoder has {count} layers")
    encoder = f"{model.base_model_prefix}."  # the head is new anyway
    above = (name for name, depth in depths(model).items() if depth > count - layers)
    draw_anew(model, [name for name in above if name.startswith(encoder)])


def freeze(model: PreTrainedModel, layers: int | None) -> None:
    """Exclude the embeddings and the lowest `layers` layers from training; None excludes nothing.

    Source: Lee et al., What Would Elsa Do? Freezing Layers During Transformer Fine-Tuning, 2019.
    """
    if layers is None:
        return
    count = model.config.num_hidden_layers
    if layers > count:
        raise ValueError(f"finetune.frozen_layers is {layers}; this encoder has {count} layers")
    deep = depths(model)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(deep[name] > layers)


def unfreeze(model: PreTrainedModel, epoch: int, params: FinetuneParams) -> None:
    """Let `epoch` (from 1) train as deep as it may: at first what lies above the layers, then evenly deeper.

    After `unfreeze_epochs` epochs that is all that `frozen_layers` and `lora_rank` allow; with 0 at once.
    A function of the epoch alone, so a run can resume in the middle. Changes nothing in the optimizer, which
    skips what has no gradient. Source: Howard and Ruder, ULMFiT, 2018: one layer per epoch.
    """
    epochs = params.unfreeze_epochs
    if not epochs:
        return
    top = model.config.num_hidden_layers + 1
    lowest = 0 if params.frozen_layers is None else params.frozen_layers + 1
    reached = top - round((top - lowest) * min(epoch - 1, epochs) / epochs)
    deep = depths(model)
    for name, parameter in model.named_parameters():
        allowed = params.lora_rank is None or "lora_" in name or deep[name] == top
        parameter.requires_grad_(allowed and deep[name] >= reached)


def parameter_groups(
    model: PreTrainedModel, params: Training, layer_decay: float = 1.0
) -> list[dict[str, Any]]:
    """Return AdamW's groups: no decay of biases and norms, and a `scale` of the learning rate by depth.

    The head has scale 1, and each step down multiplies it by `layer_decay`. Source: Howard and Ruder, ULMFiT,
    2018; for BERT Sun et al., How to Fine-Tune BERT for Text Classification?, 2019.
    """
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    deep = dict.fromkeys(trained, 0) if layer_decay == 1 else depths(model)
    groups: dict[tuple[int, bool], dict[str, Any]] = {}
    top = max(deep.values())
    for name, parameter in trained.items():
        matrix = parameter.ndim >= 2 and not name.endswith("bias")
        group = groups.setdefault(
            (deep[name], matrix),
            {
                "params": [],
                "weight_decay": params.weight_decay if matrix else 0.0,
                "scale": layer_decay ** (top - deep[name]),
            },
        )
        group["params"].append(parameter)
    return [*groups.values()]
