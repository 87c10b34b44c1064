"""AdamW: its parameter groups, its learning rate, and a step that skips numbers that are not finite.

Source: Loshchilov and Hutter, Decoupled Weight Decay Regularization, 2019.
"""

from typing import Any

import torch
from torch.optim import AdamW
from transformers import PreTrainedModel

from bertline.encoder.layers import LayerDepths
from bertline.params.training import Training


def parameter_groups(
    model: PreTrainedModel, params: Training, layer_decay: float = 1.0, depths: LayerDepths | None = None
) -> list[dict[str, Any]]:
    """Return AdamW's groups over the trained parameters of `model`.

    - Weight matrices decay by `params.weight_decay`; biases and norms do not decay.
    - `lr_scale` multiplies the learning rate of a group: 1 for the head, and `layer_decay` times the scale of
      the layer above for each layer below. A `layer_decay` under 1 needs `depths`.

    Source: Howard and Ruder, ULMFiT, 2018; for BERT Sun et al., How to Fine-Tune BERT for Text
    Classification?, 2019.
    """
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if layer_decay == 1:
        depth_of = dict.fromkeys(trained, 0)
    else:
        assert depths is not None, "layers can only learn at different rates if their depths are known"
        depth_of = {name: depths.depth_of(name) for name in trained}
    groups: dict[tuple[int, bool], dict[str, Any]] = {}
    top = max(depth_of.values())
    for name, parameter in trained.items():
        is_matrix = parameter.ndim >= 2 and not name.endswith("bias")
        group = groups.setdefault(
            (depth_of[name], is_matrix),
            {
                "params": [],
                "weight_decay": params.weight_decay if is_matrix else 0.0,
                "lr_scale": layer_decay ** (top - depth_of[name]),
            },
        )
        group["params"].append(parameter)
    return [*groups.values()]


def build_adamw(groups: list[dict[str, Any]], lr: float, *, capturable: bool) -> AdamW:
    """Return AdamW over `groups`; `capturable` if its steps may be captured as a CUDA graph."""
    optimizer = AdamW(groups, lr=lr, fused=True, capturable=capturable)
    if capturable:  # a plain number would be captured with the step, and eager steps would round differently
        for group in optimizer.param_groups:
            group["lr"] = torch.tensor(lr, device=group["params"][0].device)
    return optimizer


def set_lr(optimizer: AdamW, lr: float) -> None:
    """Set the learning rate of every group to `lr` times the group's `lr_scale`."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(lr * group["lr_scale"])
        else:
            group["lr"] = lr * group["lr_scale"]


def step_if_finite(optimizer: AdamW, numbers: torch.Tensor) -> None:
    """Take a step, unless one of `numbers` is not finite: then weights and moments stay. Drop the gradients.

    Decides on the device, without synchronisation, as torch's own GradScaler does with `found_inf`.
    """
    optimizer.found_inf = (~numbers.isfinite().all()).float()  # type: ignore[attr-defined]
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
