"""Build a classifier on a pretrained encoder, and make its training reproducible.

Hugging Face owns the model code: any architecture of `AutoModelForSequenceClassification` will do.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer
from torch import nn
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from bertline.modeling import short_attention
from bertline.modeling.cutting import load_tokenizer
from bertline.modeling.disk import disk_errors
from bertline.modeling.loading import load_config, load_pretrained


def build_classifier(folder: Path, classes: tuple[str, ...], *, multi_label: bool = False) -> PreTrainedModel:
    """Return the encoder of `folder` in float32 with a fresh head for `classes`, drawn from torch's RNG.

    Of a head that language was modelled with, transformers keeps what it finds (ModernBERT's lower half).

    Raises:
        ValueError: `folder` does not hold an encoder that transformers can load.
    """
    config = load_config(
        folder,
        num_labels=len(classes),
        id2label=dict(enumerate(classes)),
        label2id={name: i for i, name in enumerate(classes)},
        problem_type="multi_label_classification" if multi_label else "single_label_classification",
    )
    classified = any("ForSequenceClassification" in name for name in config.architectures or [])
    model, _ = load_pretrained(AutoModelForSequenceClassification, folder, config)
    if classified:  # other classes, or these in another order
        encoder = f"{model.base_model_prefix}."
        draw_anew(model, [name for name, _ in model.named_parameters() if not name.startswith(encoder)])
    return model


@contextmanager
def evaluating(model: PreTrainedModel) -> Iterator[None]:
    """Switch dropout off within the block; afterwards each module is in the mode that it was in."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def longest_text(model: PreTrainedModel) -> int | None:
    """Return how many tokens `model` has positions for; None if nothing limits them."""
    for name, module in model.base_model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            padding = module.padding_idx  # of RoBERTa and its kin, which count from behind it
            found = module.num_embeddings - (0 if padding is None else padding + 1)
            return min(found, getattr(model.config, "max_position_embeddings", found))
    return None


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
    """Return the fine-tuned model of `folder`, in float32 on the CPU, ready for inference.

    Raises:
        ValueError: `folder` holds none.
    """
    model, absent = load_pretrained(AutoModelForSequenceClassification, folder, load_config(folder))
    if absent:
        raise ValueError(
            f"the model in {folder} cannot be used: it is not fine-tuned, it has no {min(absent)}"
        )
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
