"""Load what transformers can load, but never with weights that no file holds and nobody asked for.

Guarantees an error of one line for a folder that cannot be used, and a model whose weights are all numbers.
"""

from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, PretrainedConfig, PreTrainedModel

from bertline.modeling.out_of_memory import is_out_of_memory

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
"""What transformers raises at folders that are damaged, incomplete, or of something else than a model."""


def load_config(folder: Path, **changes: Any) -> PretrainedConfig:
    """Return the config in `folder` with some `changes`; ValueError if there is none that transformers knows.

    BigBird attends fully: its sparse attention gives way to that for good with the first batch of short
    texts, so that a model would depend on what it has seen, and not be the one that is loaded again.
    """
    transformers.utils.logging.set_verbosity_error()  # what is wrong is said here
    transformers.utils.logging.disable_progress_bar()
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(folder, **changes)
    except FAULTS as error:
        raise _unusable(folder, error) from error
    if getattr(config, "attention_type", None) == "block_sparse":
        config.attention_type = "original_full"
    return config


def load_pretrained(
    kind: Any, folder: Path, config: PretrainedConfig, *, other_vocabulary: bool = False
) -> tuple[PreTrainedModel, set[str]]:
    """Return the model of `kind` (an AutoModel class) in `folder`, in float32, and the weights it lacks.

    Those, by name, are drawn from torch's RNG, biases 0. With `other_vocabulary` the embeddings of tokens may
    be among them; other weights of the encoder may not, but for its pooler.

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
        )
    except FAULTS as error:
        raise _unusable(folder, error) from error
    absent = {*found["missing_keys"], *(name for name, *_ in found["mismatched_keys"])}
    parameters = dict(model.named_parameters(remove_duplicate=False))
    embeddings = model.get_input_embeddings().weight if other_vocabulary else None
    for name in sorted(absent):
        inside = name.startswith(f"{model.base_model_prefix}.") and "pooler" not in name
        if inside and (name not in parameters or parameters[name] is not embeddings):
            raise ValueError(f"the model in {folder} cannot be used: it has no {name} as config.json says it")
        if name in parameters and name.endswith("bias"):  # transformers forgets those of some heads
            nn.init.zeros_(parameters[name])
    for name, weight in model.named_parameters():
        if not weight.sum().isfinite():
            raise ValueError(
                f"the model in {folder} cannot be used: its {name} has values that are no numbers"
            )
    return model, absent


def _unusable(folder: Path, error: Exception) -> Exception:
    """Return what to raise for `error`: itself, if it says that memory ran out."""
    if is_out_of_memory(error):
        return error
    reason = str(error).strip()
    if isinstance(error, StrictDataclassError):
        reason = " ".join(reason.split())
    elif not isinstance(error, OSError | ValueError | SafetensorError):
        reason = f"{type(error).__name__}: {reason}"
    first, _, _ = reason.partition("\n")
    return ValueError(f"the model in {folder} cannot be used: {first}")
