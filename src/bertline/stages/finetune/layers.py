"""Drop, re-initialise, freeze and unfreeze layers of an encoder.

The order is `drop_layers`, `reinitialize`, `freeze`, `lora.add`. Then the optimizer gets every parameter that
is ever trained, and `unfreeze` is called as each epoch starts.
"""

import copy

import torch
from transformers import PreTrainedModel

from bertline.encoder.layers import LayerDepths, layer_stack, reinitialize_parameters
from bertline.params.finetune import Params

NOT_BY_LAYER = ("architectures", "pos_att_type")
"""Lists in a config that are not one entry per layer, though they may be as long."""


def needs_depths(params: Params) -> bool:
    """Return whether a technique that `params` asks for treats layers by their depth."""
    chosen = params.frozen_layers is not None or params.lora_rank is not None
    return chosen or params.reinit_layers > 0 or params.layer_decay < 1 or params.unfreeze_epochs > 0


def drop_layers(model: PreTrainedModel, kept: int | None) -> None:
    """Keep `kept` layers of the encoder, evenly spaced from the first to the last, and drop the others.

    The result is a standard, smaller model. None keeps all. Sources: Sanh et al., DistilBERT, 2019, whose
    student starts from every other layer; Sajjad et al., On the Effect of Dropping Layers of Pre-trained
    Transformer Models, 2020, who drop them before fine-tuning.

    Raises:
        ValueError: the encoder has fewer layers, or its config cannot describe it with fewer.
    """
    if kept is None:
        return
    count = model.config.num_hidden_layers
    if kept > count:
        raise ValueError(f"finetune.layers is {kept}; this encoder has {count} layers")
    stack = model.get_submodule(layer_stack(model))
    places = [round(i * (count - 1) / max(kept - 1, 1)) for i in range(kept)]
    for i in reversed(range(count)):
        if i not in places:
            del stack[i]
    config = model.config
    for name, each in vars(config).items():  # how far each layer attends, say
        if isinstance(each, list | tuple) and len(each) == count and name not in NOT_BY_LAYER:
            setattr(config, name, [each[i] for i in places])
    try:
        config.num_hidden_layers = kept
        with torch.device("meta"):
            described = type(model)(copy.deepcopy(config)).state_dict()
    except NotImplementedError:
        described = {}
    if _shapes(described) != _shapes(model.state_dict()):
        raise ValueError(f"{type(model).__name__} cannot do with fewer layers than it has; set layers: null")


def _shapes(state: dict[str, torch.Tensor]) -> dict[str, torch.Size]:
    return {name: each.shape for name, each in state.items()}


def reinitialize(model: PreTrainedModel, layers: int, depths: LayerDepths) -> None:
    """Draw the weights of the top `layers` layers and of the pooler again, as at the start of pre-training.

    Source: Zhang et al., Revisiting Few-sample BERT Fine-tuning, ICLR 2021: the top layers are the most
    specialised to pre-training, and hurt on small data sets.

    Raises:
        ValueError: the encoder has fewer layers.
    """
    if not layers:
        return
    count = depths.num_layers
    if layers > count:
        raise ValueError(f"finetune.reinit_layers is {layers}; this encoder has {count} layers")
    above = (name for name, _ in model.named_parameters() if depths.depth_of(name) > count - layers)
    reinitialize_parameters(
        model, [name for name in above if name.startswith(depths.encoder)]
    )  # the head is new anyway


def freeze(model: PreTrainedModel, layers: int | None, depths: LayerDepths) -> None:
    """Exclude the embeddings and the lowest `layers` layers from training; None excludes nothing.

    Source: Lee et al., What Would Elsa Do? Freezing Layers During Transformer Fine-Tuning, 2019.

    Raises:
        ValueError: the encoder has fewer layers.
    """
    if layers is None:
        return
    if layers > depths.num_layers:
        raise ValueError(f"finetune.frozen_layers is {layers}; this encoder has {depths.num_layers} layers")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(depths.depth_of(name) > layers)


def unfreeze(model: PreTrainedModel, epoch: int, params: Params, depths: LayerDepths) -> None:
    """Let `epoch` (from 1) train as deep as it may: first what lies above the layers, then evenly deeper.

    - After `unfreeze_epochs` epochs everything is trained that `frozen_layers` and `lora_rank` allow.
    - The result depends on the epoch alone, so a run can resume in the middle.
    - The optimizer stays as it is: it skips parameters without a gradient.

    Source: Howard and Ruder, ULMFiT, 2018: one layer per epoch.
    """
    epochs, top = params.unfreeze_epochs, depths.top
    lowest = 0 if params.frozen_layers is None else params.frozen_layers + 1
    reached = top - round((top - lowest) * min(epoch - 1, epochs) / epochs)
    for name, parameter in model.named_parameters():
        depth = depths.depth_of(name)
        allowed = params.lora_rank is None or "lora_" in name or depth == top
        parameter.requires_grad_(allowed and depth >= reached)
