"""What an answer costs, against torch's own counts."""

import json
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from bertline.encoder.classifier import load_classifier
from bertline.models.folder import SERVED
from bertline.stages.evaluate.cost import count_flops, count_parameters
from bertline.stages.export.onnx_model import write_onnx
from tests.support.tiny_model import save_tiny_model


@pytest.fixture(scope="module")
def folder(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("cost") / "model", tiny_encoder)


def test_the_flops_of_a_text_are_those_that_torch_counts(folder: Path) -> None:
    model = load_classifier(folder).eval()
    model.set_attn_implementation("eager")  # torch counts no fused attention on the CPU
    config = json.loads((folder / "config.json").read_text())
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.ones(1, 12, dtype=torch.long))
    classes = len(config["id2label"])
    assert count_flops(config, 12, classes)["flops_per_text"] == counter.get_total_flops()


def test_a_config_of_another_kind_has_no_flops() -> None:
    assert count_flops({"d_model": 8}, 12, 2) == {}


def test_the_parameters_are_those_of_the_model(folder: Path) -> None:
    expected = sum(each.numel() for each in load_classifier(folder).parameters())
    assert count_parameters(folder) == expected


def test_the_parameters_of_a_folder_without_weights_are_those_of_its_onnx_file(
    folder: Path, tmp_path: Path
) -> None:
    model = load_classifier(folder)
    for each in model.parameters():  # equal ones, such as biases of 0, would be stored once
        torch.nn.init.normal_(each)
    (tmp_path / "onnx").mkdir()
    write_onnx(model, tmp_path / SERVED)
    assert count_parameters(tmp_path) == count_parameters(folder)
