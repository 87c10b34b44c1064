"""Build, save and load a classifier on a pretrained encoder.

Hugging Face owns the model code: any architecture of `AutoModelForSequenceClassification` will do.
"""

from pathlib import Path

from transformers import AutoModelForSequenceClassification, PreTrainedModel

from bertline.core.files import apply_umask, disk_errors
from bertline.encoder.config_names import add_names
from bertline.encoder.layers import reinitialize_parameters
from bertline.encoder.load import load_config, load_pretrained
from bertline.encoder.tokenizer_files import save_tokenizer
from bertline.tokens.padding import Padding


def build_classifier(folder: Path, classes: tuple[str, ...], *, multi_label: bool = False) -> PreTrainedModel:
    """Return the encoder of `folder` in float32 with a fresh head for `classes`, drawn from torch's RNG.

    Parts of a language-modelling head that the classifier has too are kept (ModernBERT's lower half).

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
        reinitialize_parameters(
            model, [name for name, _ in model.named_parameters() if not name.startswith(encoder)]
        )
    return model


def save_classifier(model: PreTrainedModel, tokenizer_folder: Path, max_length: int, out: Path) -> None:
    """Write a standard Hugging Face folder: the model, and the tokenizer of `tokenizer_folder`.

    Raises:
        OSError: the disk is full.
    """
    save_tokenizer(tokenizer_folder, max_length, out, type_ids=Padding.of(model.config.to_dict()).typed)
    with disk_errors():
        model.cpu().save_pretrained(out)
    add_names(out / "config.json", model.config)
    apply_umask(out)  # transformers writes weights through a private temporary file


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
