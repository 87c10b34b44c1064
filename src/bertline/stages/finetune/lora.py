"""Low-rank updates of the attention instead of new weights: less to compute, to remember and to overfit.

Source: Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, ICLR 2022, who find that a rank is best
spent on all four maps of the attention. Updates of the other maps too (QLoRA, 2023) would cost most of the
time that is saved. What is saved is a plain model: `merge` adds the updates to the weights. From `add` to
`merge`, `state_dict` has peft's names.
"""

from torch import nn
from transformers import PreTrainedModel

from bertline.encoder.layers import LayerDepths


def add(model: PreTrainedModel, rank: int | None, depths: LayerDepths) -> None:
    """Freeze embeddings and layers of `model`, and put updates of `rank` on the maps of its attention.

    They are zero at first, drawn from torch's RNG, and scaled by 2 (alpha is 2 `rank`). Layers frozen before
    get none. What lies above the layers (pooler, head) is trained as it is. None adds nothing.

    Raises:
        ValueError: peft is not installed, no attention in a stack of layers is left to train, or `rank` is
            more than its maps have.
    """
    if rank is None:
        return
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ModuleNotFoundError as error:
        raise ValueError(f"finetune.lora_rank is {rank}, which needs peft: pip install peft") from error
    trained = {name.removesuffix(".weight") for name, each in model.named_parameters() if each.requires_grad}
    maps = [
        name
        for name, module in model.named_modules()
        if name.startswith(depths.stack) and name in trained and isinstance(module, nn.Linear)
        if "attention" in name or "attn" in name
    ]
    if not maps:
        raise ValueError(
            f"finetune.lora_rank is {rank}, but no trained layer of {type(model).__name__} has an attention; "
            "set lora_rank: null, or lower frozen_layers"
        )
    most = min(min(model.get_parameter(f"{name}.weight").shape) for name in maps)
    if rank > most:
        raise ValueError(f"finetune.lora_rank is {rank}; maps of the attention here have rank {most}")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(parameter.requires_grad and depths.depth_of(name) == depths.top)
    above = [parameter for parameter in model.parameters() if parameter.requires_grad]
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=maps), model)
    for parameter in above:  # which peft freezes
        parameter.requires_grad_(True)


def merge(model: PreTrainedModel) -> None:
    """Add the updates of `model` to its weights, and make it the plain model it was before `add`."""
    for name, module in list(model.named_modules()):
        if hasattr(module, "lora_A"):
            module.merge()
            model.set_submodule(name, module.get_base_layer())
