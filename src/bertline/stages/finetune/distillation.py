"""Distillation: learn from the logits of a fine-tuned teacher as well as from the labels.

Sources: Hinton et al., Distilling the Knowledge in a Neural Network, 2015; for BERT Sanh et al., DistilBERT,
2019. Shape suffixes: B rows, C classes.
"""

from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

from bertline.encoder.classifier import load_classifier
from bertline.tokens.truncation import load_tokenizer


def load_teacher(
    folder: Path, tokens: Path, classes: tuple[str, ...], *, multi_label: bool
) -> PreTrainedModel:
    """Return the fine-tuned model in or below `folder`, on the CPU, its logits in the order of `classes`.

    Teacher and student read the same tokens, so the tokenizer of the teacher must be that in `tokens`. Does
    not check whether the teacher was trained on these texts, in which case it is over-confident.

    Raises:
        ValueError: there is not one model in `folder`, or it has other classes or another tokenizer.
    """
    models = [config.parent for config in folder.rglob("config.json")]
    if len(models) != 1:
        raise ValueError(
            f"finetune.distillation needs one fine-tuned model in {folder}, which holds {len(models)}; "
            f"get one, e.g. by `dvc artifacts get . text-classifier --stage champion --force -o {folder}`"
        )
    if _tokenizer(models[0]) != _tokenizer(tokens):
        raise ValueError(
            f"the teacher in {models[0]} has another tokenizer than {tokens}; it must have been fine-tuned "
            "with a tokenizer equal to that of tokenize.weights, or the one that tokenize.vocabulary trained"
        )
    teacher = load_classifier(models[0])
    if (teacher.config.problem_type == "multi_label_classification") != multi_label:
        raise ValueError(
            f"the teacher in {models[0]} and the data differ in whether a row has several labels; "
            "fine-tune the teacher on the same labels"
        )
    places = {name: i for i, name in teacher.config.id2label.items()}
    if set(places) != set(classes):
        raise ValueError(
            f"the teacher in {models[0]} knows the classes {sorted(places)}, but the training split "
            f"has {sorted(classes)}; fine-tune the teacher on the same labels"
        )
    columns = [places[name] for name in classes]

    def reorder(_module: nn.Module, _args: Any, output: ModelOutput) -> ModelOutput:
        output["logits"] = output["logits"][:, columns]
        return output

    teacher.register_forward_hook(reorder)  # heads of different architectures have different layers
    return teacher


def _tokenizer(folder: Path) -> str:
    """Return the tokenizer of `folder` as JSON, without padding and truncation."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise ValueError(f"there is no {path}, without which teacher and student cannot read the same tokens")
    text: str = load_tokenizer(folder).to_str()
    return text


def distillation_loss(
    logits_BC: torch.Tensor, teacher_logits_BC: torch.Tensor, temperature: float, *, multi_label: bool
) -> torch.Tensor:
    """Return how far each row is from its teacher, float32 [B], in nats; 0 where the logits are equal.

    The Kullback-Leibler divergence from the teacher's probabilities to the student's, both at `temperature`,
    times its square, which keeps the size of the gradients (Hinton et al.). For a multi-label row it is the
    mean over its labels, each a binary choice.
    """
    student_BC, teacher_logits_BC = logits_BC / temperature, teacher_logits_BC / temperature
    if multi_label:
        cross_BC, entropy_BC = (
            functional.binary_cross_entropy_with_logits(each, teacher_logits_BC.sigmoid(), reduction="none")
            for each in (student_BC, teacher_logits_BC)
        )
        return (cross_BC - entropy_BC).mean(dim=1) * temperature**2
    student_BC, teacher_logits_BC = student_BC.log_softmax(dim=1), teacher_logits_BC.log_softmax(dim=1)
    return (teacher_logits_BC.exp() * (teacher_logits_BC - student_BC)).sum(dim=1) * temperature**2
