import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch.nn import functional
from transformers import PreTrainedModel

from bertline.encoder.classifier import build_classifier, save_classifier
from bertline.encoder.collate import collate_for, collate_padded
from bertline.encoder.unpadding import enable_unpadding
from bertline.params.finetune import Params
from bertline.stages.finetune.distillation import distillation_loss, load_teacher
from bertline.stages.finetune.prepare import fine_tune, teacher_logits
from bertline.stages.finetune.task import predict
from bertline.tokens.arrays import TokenizedSplit
from bertline.tokens.truncation import load_tokenizer
from bertline.training.checkpoints import Checkpoints
from tests.support.tiny import CLASSES, save_bert

MakeParams = Callable[..., Params]
Splits = dict[str, TokenizedSplit]
OTHER_ORDER = CLASSES[::-1]


def save_teacher(encoder: Path, folder: Path, classes: tuple[str, ...] = OTHER_ORDER) -> PreTrainedModel:
    torch.manual_seed(7)
    teacher = build_classifier(encoder, classes)
    save_classifier(teacher, encoder, 32, folder)
    return teacher.eval()


@pytest.mark.parametrize("place", [".", "candidate"])  # where `dvc artifacts get` puts it
def test_the_logits_of_a_teacher_come_in_the_order_of_the_students_classes(
    place: str, tiny_encoder: Path, splits: Splits, tmp_path: Path
) -> None:
    original = save_teacher(tiny_encoder, tmp_path / place)
    logits_NC = predict(original, splits["train"], 8, collate_padded(original.config))
    teacher = load_teacher(tmp_path, tiny_encoder, CLASSES, multi_label=False)
    for unpadded in (False, True):
        assert not unpadded or enable_unpadding(teacher)
        found_NC = predict(teacher, splits["train"], 8, collate_for(teacher))
        assert np.allclose(found_NC, logits_NC[:, ::-1], atol=1e-5)


def test_how_a_tokenizer_pads_and_cuts_makes_it_no_other(tiny_encoder: Path, tmp_path: Path) -> None:
    save_teacher(tiny_encoder, tmp_path)
    tokenizer = Tokenizer.from_file(str(tiny_encoder / "tokenizer.json"))
    tokenizer.enable_padding(length=64)
    tokenizer.enable_truncation(64)
    (tmp_path / "tokens").mkdir()
    tokenizer.save(str(tmp_path / "tokens" / "tokenizer.json"))
    assert load_teacher(tmp_path, tmp_path / "tokens", CLASSES, multi_label=False)


def test_a_teacher_with_another_tokenizer_is_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    save_teacher(tiny_encoder, tmp_path)
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    tokenizer.add_tokens(["another"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ValueError, match="another tokenizer than"):
        load_teacher(tmp_path, tiny_encoder, CLASSES, multi_label=False)


def test_a_teacher_of_other_classes_is_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    save_teacher(tiny_encoder, tmp_path, ("animal", "colour", "verb"))
    with pytest.raises(ValueError, match=r"knows the classes \['animal', 'colour', 'verb'\]"):
        load_teacher(tmp_path, tiny_encoder, CLASSES, multi_label=False)


def test_without_a_teacher_the_error_says_how_to_get_one(tiny_encoder: Path, tmp_path: Path) -> None:
    (tmp_path / ".gitkeep").touch()
    with pytest.raises(ValueError, match=r"holds 0; get one, e.g. by `dvc artifacts get"):
        load_teacher(tmp_path, tiny_encoder, CLASSES, multi_label=False)


def test_of_two_teachers_none_is_taken(tiny_encoder: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        save_teacher(tiny_encoder, tmp_path / name)
    with pytest.raises(ValueError, match=r"needs one fine-tuned model in .*, which holds 2"):
        load_teacher(tmp_path, tiny_encoder, CLASSES, multi_label=False)


def test_a_teacher_whose_head_is_not_in_the_file_is_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    save_teacher(tiny_encoder, tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["classifier.weight"]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"is not fine-tuned, it has no classifier\.weight"):
        load_teacher(tmp_path, tiny_encoder, CLASSES, multi_label=False)


def test_a_teacher_that_cannot_read_the_texts_says_so(
    tiny_encoder: Path, splits: Splits, params: MakeParams, tmp_path: Path
) -> None:
    shutil.copytree(tiny_encoder, tmp_path / "short")
    save_bert(
        tmp_path / "short",
        vocab_size=len(load_tokenizer(tiny_encoder).get_vocab()),
        max_position_embeddings=8,
    )
    save_teacher(tmp_path / "short", tmp_path / "teacher", CLASSES)
    teacher = load_teacher(tmp_path / "teacher", tiny_encoder, CLASSES, multi_label=False)
    with pytest.raises(
        ValueError, match=r"the teacher reads 8 tokens, but the training split has texts of \d\d"
    ):
        teacher_logits(teacher, splits["train"], params(), torch.device("cpu"))


LOGITS_BC = torch.tensor([[2.0, -1.0, 0.5], [0.1, 0.2, -3.0]])
TEACHER_BC = torch.tensor([[1.0, 1.0, -2.0], [0.3, -4.0, 5.0]])


def test_the_loss_is_the_divergence_from_the_teacher_at_the_temperature() -> None:
    expected = functional.kl_div(
        functional.log_softmax(LOGITS_BC / 3, dim=1),
        functional.softmax(TEACHER_BC / 3, dim=1),
        reduction="none",
    )
    loss_B = distillation_loss(LOGITS_BC, TEACHER_BC, 3.0, multi_label=False)
    assert torch.allclose(loss_B, 9 * expected.sum(dim=1))


def test_the_loss_of_labels_is_the_mean_divergence_of_each_of_them() -> None:
    expected_BC = torch.stack(
        [
            distillation_loss(
                torch.stack([LOGITS_BC[:, i], torch.zeros(2)], dim=1),
                torch.stack([TEACHER_BC[:, i], torch.zeros(2)], dim=1),
                3.0,
                multi_label=False,
            )
            for i in range(3)
        ],
        dim=1,
    )
    loss_B = distillation_loss(LOGITS_BC, TEACHER_BC, 3.0, multi_label=True)
    assert torch.allclose(loss_B, expected_BC.mean(dim=1), atol=1e-6)


@pytest.mark.parametrize("multi_label", [False, True])
def test_who_answers_like_the_teacher_has_no_loss_and_no_gradient(multi_label: bool) -> None:
    logits_BC = TEACHER_BC.clone().requires_grad_()
    loss_B = distillation_loss(logits_BC, TEACHER_BC, 2.0, multi_label=multi_label)
    loss_B.sum().backward()
    assert torch.allclose(loss_B, torch.zeros(2), atol=1e-5)
    assert torch.allclose(logits_BC.grad, torch.zeros(2, 3), atol=1e-6)


def test_the_size_of_gradients_does_not_depend_on_a_high_temperature() -> None:
    sizes = []
    for temperature in (20.0, 200.0):
        logits_BC = LOGITS_BC.clone().requires_grad_()
        distillation_loss(logits_BC, TEACHER_BC, temperature, multi_label=False).sum().backward()
        sizes.append(logits_BC.grad.norm().item())
    assert sizes[0] == pytest.approx(sizes[1], rel=0.1)


@pytest.mark.parametrize("wrong", [False, True])
def test_a_student_learns_what_its_teacher_says_instead_of_the_labels(
    wrong: bool, tiny_encoder: Path, splits: Splits, params: MakeParams, tmp_path: Path
) -> None:
    labels = splits["train"].labels
    said = (labels + 1) % 3 if wrong else labels
    teacher_logits_NC = 8 * np.eye(3, dtype=np.float32)[said]
    torch.manual_seed(0)
    student = build_classifier(tiny_encoder, CLASSES, multi_label=False)
    strategy = params(epochs=12, distillation=1.0, select_by="macro_f1" if not wrong else "loss")
    run = fine_tune(student, splits, strategy, Checkpoints("run", tmp_path), teacher_logits_NC)
    for _ in run:  # the last weights, as the best on the true labels would be the least taught
        last = {name: each.clone() for name, each in student.state_dict().items()}
    student.load_state_dict(last)
    predicted = predict(student, splits["train"], 16, collate_padded(student.config)).argmax(axis=1)
    assert (predicted == said).mean() > 0.7
