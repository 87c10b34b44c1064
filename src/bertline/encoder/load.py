"""Load an encoder or a classifier with transformers, from a folder that may be damaged or hostile.

Guarantees:

- No code from the folder runs, and stdin is never read as a consent to it (`remote_code`); weights are read
  from safetensors only.
- A folder that cannot be used raises an error of one line.
- Every weight is finite, and comes from the file unless the caller asked for a new one.
"""

from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, PretrainedConfig, PreTrainedModel

from bertline.encoder.oom import is_out_of_memory
from bertline.encoder.remote_code import refuse_code

FAULTS = (
    OSError,
    ValueError,
    TypeError,
    AttributeError,
    ArithmeticError,
    LookupError,
    AssertionError,
    RuntimeError,
    StrictDataclassError,
    SafetensorError,
)
"""The errors of transformers for folders that are damaged, incomplete, or hold no model."""


def load_config(folder: Path, **changes: Any) -> PretrainedConfig:
    """Return the config in `folder` with some `changes`.

    BigBird gets full attention. Its sparse attention switches to full attention for good at the first batch
    of short texts, so the outputs would depend on earlier batches.

    Raises:
        ValueError: `folder` has no config that transformers knows, or asks to run code.
    """
    transformers.utils.logging.set_verbosity_error()  # our own errors name what is wrong
    transformers.utils.logging.disable_progress_bar()
    refuse_code(folder)
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(folder, trust_remote_code=False, **changes)
    except FAULTS as error:
        raise _unusable(folder, error) from error
    if hasattr(config, "auto_map"):
        del config.auto_map  # or it would be saved with the model, beside no code
    if getattr(config, "attention_type", None) == "block_sparse":
        config.attention_type = "original_full"
    return config


def load_pretrained(
    kind: Any, folder: Path, config: PretrainedConfig, *, other_vocabulary: bool = False
) -> tuple[PreTrainedModel, set[str]]:
    """Return the model of `kind` (an AutoModel class) in `folder`, in float32, and the weights it lacks.

    Missing weights are drawn from torch's RNG; missing biases are 0. Weights of a head or pooler may be
    missing, and with `other_vocabulary` the token embeddings; no other weight of the encoder may.

    Raises:
        ValueError: `folder` does not hold such a model.
    """
    try:
        model, found = kind.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            trust_remote_code=False,
            use_safetensors=True,  # a pickle can run code
        )
    except FAULTS as error:
        raise _unusable(folder, error) from error
    absent = {*found["missing_keys"], *(name for name, *_ in found["mismatched_keys"])}
    parameters = dict(model.named_parameters(remove_duplicate=False))
    embeddings = model.get_input_embeddings().weight if other_vocabulary else None
    for name in sorted(absent):
        inside = name.startswith(f"{model.base_model_prefix}.") and "pooler" not in name
        if inside and (name not in parameters or parameters[name] is not embeddings):
            raise ValueError(
                f"the model in {folder} cannot be used: it has no {name} of the shape that config.json sets"
            )
        # transformers leaves the missing biases of some heads as they are.
        if name in parameters and name.endswith("bias"):
            nn.init.zeros_(parameters[name])
    for name, weight in model.named_parameters():
        if not weight.sum().isfinite():
            raise ValueError(
                f"the model in {folder} cannot be used: its {name} has weights that are NaN or infinite"
            )
    return model, absent


def _unusable(folder: Path, error: Exception) -> Exception:
    """Return the exception to raise for `error`: itself if memory ran out, else a ValueError of one line."""
    if is_out_of_memory(error):
        return error
    reason = str(error).strip()
    if isinstance(error, StrictDataclassError):
        reason = " ".join(reason.split())
    elif not isinstance(error, OSError | ValueError | SafetensorError):
        reason = f"{type(error).__name__}: {reason}"
    first, _, _ = reason.partition("\n")
    return ValueError(f"the model in {folder} cannot be used: {first}")
