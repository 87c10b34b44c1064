"""What a classifier starts from: the weights of an encoder, a head of its own, and nothing by chance."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import CLASSES

from bertline.modeling.encoder import build_classifier, load_classifier, save_classifier


def test_a_head_that_came_with_the_weights_is_drawn_anew(tiny_encoder: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    save_classifier(build_classifier(tiny_encoder, CLASSES), tiny_encoder, 32, tmp_path)
    saved = load_classifier(tmp_path)
    again = build_classifier(tmp_path, CLASSES)
    assert not torch.equal(again.classifier.weight, saved.classifier.weight)
    for one, other in zip(again.bert.parameters(), saved.bert.parameters(), strict=True):
        assert torch.equal(one, other)


def test_weights_under_other_names_are_refused_not_replaced_by_chance(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    for file in tiny_encoder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(tiny_encoder / "model.safetensors")
    save_file({f"student.{name}": each for name, each in weights.items()}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="holds no encoder that can be fine-tuned"):
        build_classifier(tmp_path, CLASSES)


def test_a_damaged_file_of_weights_is_named(tiny_encoder: Path, tmp_path: Path) -> None:
    for file in tiny_encoder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(ValueError, match="holds no encoder that can be fine-tuned"):
        build_classifier(tmp_path, CLASSES)
