"""The device and the precision of a model."""

import torch


def autocast(device: torch.device) -> torch.autocast:
    """Return a context that computes in bfloat16 if `device` has the hardware for it, else in float32."""
    fit = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=fit)


def pick_device(name: str) -> torch.device:
    """Return the device for `auto`, `cpu` or `cuda`; ValueError if cuda is asked for and absent."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("device is 'cuda', but torch sees no GPU here; allowed: auto, cpu")
    return torch.device(name)
