"""Build a classifier on a pretrained encoder, and make its training reproducible.

Hugging Face owns the model code: any architecture of `AutoModelForSequenceClassification` will do.
"""

import json
import os
import shutil
from pathlib import Path
from typing import cast

import torch
import transformers
from safetensors import SafetensorError
from tokenizers import Tokenizer
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from bertline.modeling import short_attention
from bertline.modeling.cutting import load_tokenizer
from bertline.modeling.disk import disk_errors


def build_classifier(folder: Path, classes: tuple[str, ...], *, multi_label: bool = False) -> PreTrainedModel:
    """Return the encoder of `folder` in float32 with a fresh head for `classes`, drawn from torch's RNG.

    Raises:
        ValueError: `folder` does not hold an encoder that transformers can load.
    """
    transformers.utils.logging.set_verbosity_error()  # the missing head is what fine-tuning is for
    transformers.utils.logging.disable_progress_bar()
    try:
        model, found = AutoModelForSequenceClassification.from_pretrained(
            folder,
            num_labels=len(classes),
            id2label=dict(enumerate(classes)),
            label2id={name: i for i, name in enumerate(classes)},
            problem_type="multi_label_classification" if multi_label else "single_label_classification",
            dtype=torch.float32,
            ignore_mismatched_sizes=True,  # a checkpoint that already has a head for other classes
            output_loading_info=True,
        )
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise ValueError(f"{folder} holds no encoder that can be fine-tuned: {error}") from error
    absent = {*found["missing_keys"], *(name for name, *_ in found["mismatched_keys"])}
    inside = [
        name for name in absent if name.startswith(f"{model.base_model_prefix}.") and "pooler" not in name
    ]
    if inside:
        raise ValueError(
            f"{folder} holds no encoder that can be fine-tuned: model.safetensors has no {min(inside)} "
            "as config.json says it"
        )
    _draw_head(model, absent)
    return cast(PreTrainedModel, model)


def _draw_head(model: PreTrainedModel, absent: set[str]) -> None:
    """Draw a head that came from the file anew: it tells apart other classes, or these in another order."""
    above = [
        name for name, _ in model.named_parameters() if not name.startswith(f"{model.base_model_prefix}.")
    ]
    if absent.issuperset(above):
        return
    draw_anew(model, above)


def draw_anew(model: PreTrainedModel, names: list[str]) -> None:
    """Draw the parameters `names` of `model` again, as its architecture does at the start of pre-training."""
    for name in names:
        model.get_parameter(name)._is_hf_initialized = False  # else transformers keeps what came from a file
    for module in sorted({name.rpartition(".")[0] for name in names}):
        model._init_weights(model.get_submodule(module))


def checkpoint_gradients(model: PreTrainedModel) -> None:
    """Have `model` compute activations twice instead of keeping them: less memory, a third slower.

    Source: Chen et al., Training Deep Nets with Sublinear Memory Cost, 2016.
    """
    enable = getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)
    enable({"use_reentrant": False})
    if hasattr(model, "_require_grads_hook") or hasattr(model, "_require_grads_hooks"):
        model.disable_input_require_grads()  # only the reentrant kind needs it, and frozen layers would pay


def autocast(device: torch.device) -> torch.autocast:
    """Return what computes in bfloat16 within a block, if `device` is made for it; else in float32."""
    fit = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=fit)


def save_classifier(model: PreTrainedModel, tokenizer_folder: Path, max_length: int, out: Path) -> None:
    """Write a standard Hugging Face folder: the model, and the tokenizer of `tokenizer_folder`.

    Raises:
        OSError: the disk is full.
    """
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder, model_max_length=max_length)
    if _rules(tokenizer.backend_tokenizer) != _rules(
        load_tokenizer(tokenizer_folder)
    ):  # transformers went by its class, not by the file
        names = tokenizer.model_input_names
        tokenizer = PreTrainedTokenizerFast.from_pretrained(
            tokenizer_folder, model_max_length=max_length, model_input_names=names
        )
    with disk_errors():
        tokenizer.save_pretrained(out)
        shutil.copyfile(
            tokenizer_folder / "tokenizer.json", out / "tokenizer.json"
        )  # the one of the training
        model.cpu().save_pretrained(out)


def _rules(tokenizer: Tokenizer) -> list[object]:
    """Return how a tokenizer gets from a text to pieces, whatever its vocabulary."""
    parts = json.loads(tokenizer.to_str())
    return [parts["normalizer"], parts["pre_tokenizer"]]


def load_classifier(folder: Path) -> PreTrainedModel:
    """Return the fine-tuned model of `folder`, in float32 on the CPU, ready for inference."""
    transformers.utils.logging.disable_progress_bar()
    try:
        model: PreTrainedModel = AutoModelForSequenceClassification.from_pretrained(
            folder, dtype=torch.float32
        )
    except SafetensorError as error:
        raise ValueError(f"model.safetensors in {folder} cannot be read: {error}") from error
    return model.eval()


def pick_device(name: str) -> torch.device:
    """Return the device for `auto`, `cpu` or `cuda`; ValueError if cuda is asked for and absent."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("device is 'cuda', but torch sees no GPU here; allowed: auto, cpu")
    return torch.device(name)


def make_deterministic(seed: int, threads: int) -> None:
    """Seed torch and pin every choice that changes bits: the thread setting, the kernels."""
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # read when CUDA starts; torch demands it
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # untyped; costs time
    torch.set_num_threads(threads)
    torch.manual_seed(seed)


def runtime(device: torch.device) -> dict[str, str | int]:
    """Return what, besides data, code and parameters, decides the bits of a training run."""
    on_gpu = device.type == "cuda"
    hardware = torch.cuda.get_device_name() if on_gpu else torch.backends.cpu.get_cpu_capability()
    facts: dict[str, str | int] = {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "device": device.type,
        "hardware": hardware,
        "threads": torch.get_num_threads(),
    }
    return facts | ({"short_attention": short_attention.is_available()} if on_gpu else {})
