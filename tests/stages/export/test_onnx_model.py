from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from bertline.head.out_of_scope import Reader
from bertline.head.states import find_reader, run_with_states
from bertline.models.onnx_backend import OnnxBackend
from bertline.stages.export.onnx_model import ExportError, write_onnx
from bertline.stages.export.quantize import write_int8
from tests.support.architectures import SIZES, build

LAYERS = {kind: {"n_layers" if kind == "distilbert" else "num_hidden_layers": 1} for kind in SIZES}
"""An export takes seconds, more by the layer."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an exported BERT, in float32 and int8."""
    folder = tmp_path_factory.mktemp("exported")
    write_both(folder)
    return folder


def write_both(folder: Path) -> None:
    write_onnx(build("bert").eval(), folder / "model.onnx")
    write_int8(folder / "model.onnx", folder / "int8.onnx", reduce_range=True)


def texts(rows: int, tokens: int) -> dict[str, np.ndarray]:
    """Return random texts of 3 to `tokens` tokens, padded."""
    draw = np.random.default_rng(rows)
    ids = draw.integers(3, 40, (rows, tokens))
    mask = (np.arange(tokens) < draw.integers(3, tokens + 1, (rows, 1))).astype(np.int64)
    return {"input_ids": ids * mask, "attention_mask": mask}


@pytest.mark.parametrize(
    ("kind", "reader"), [*((kind, "first") for kind in SIZES), ("bert", "last"), ("albert", "first")]
)
def test_an_exported_model_gives_the_logits_and_states_of_torch(
    kind: str, reader: Reader, tmp_path: Path
) -> None:
    model = build(kind, **LAYERS.get(kind, {"embedding_size": 8})).eval()
    write_onnx(model, tmp_path / "model.onnx", reader)
    backend = OnnxBackend(tmp_path / "model.onnx")
    for inputs in (texts(1, 5), texts(7, 12), texts(2, 3)):
        tensors = {name: torch.from_numpy(each) for name, each in inputs.items()}
        with torch.inference_mode():
            theirs = run_with_states(model, find_reader(model, reader), tensors)
        for ours, expected in zip(backend.run(inputs), theirs, strict=True):
            np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_the_same_weights_are_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    write_both(tmp_path)
    for name in ("model.onnx", "int8.onnx"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_a_file_names_nothing_of_the_machine_that_wrote_it(folder: Path) -> None:
    for file in folder.iterdir():
        assert b"site-packages" not in file.read_bytes()
        assert b".py" not in file.read_bytes()


@pytest.mark.parametrize("name", ["model.onnx", "int8.onnx"])
def test_a_file_has_the_inputs_and_outputs_that_text_embeddings_inference_asks_for(
    folder: Path, name: str
) -> None:
    graph = onnx.load(folder / name).graph
    assert [each.name for each in graph.input] == ["input_ids", "attention_mask", "token_type_ids"]
    assert {each.type.tensor_type.elem_type for each in graph.input} == {onnx.TensorProto.INT64}
    logits = graph.output[0]
    assert logits.name == "logits"
    assert logits.type.tensor_type.elem_type == onnx.TensorProto.FLOAT


def test_an_encoder_without_token_types_has_no_input_for_them(tmp_path: Path) -> None:
    write_onnx(build("distilbert", n_layers=1).eval(), tmp_path / "model.onnx")
    inputs = onnx.load(tmp_path / "model.onnx").graph.input
    assert [each.name for each in inputs] == ["input_ids", "attention_mask"]


def test_int8_has_embeddings_and_the_last_layer_in_float32(folder: Path) -> None:
    tensors = [*map(onnx.numpy_helper.to_array, onnx.load(folder / "int8.onnx").graph.initializer)]
    model = build("bert")
    linear = [each.weight for each in model.modules() if isinstance(each, nn.Linear)]
    rounded = sum(each.size for each in tensors if each.dtype == np.int8 and each.ndim == 2)
    assert rounded == sum(each.numel() for each in linear) - model.classifier.weight.numel()
    for weight in (model.bert.embeddings.word_embeddings.weight, model.classifier.weight):
        kept = weight.detach().numpy()
        assert any(each.size == kept.size and np.isin(kept, each).all() for each in tensors)


def test_an_architecture_that_cannot_be_exported_says_so(tmp_path: Path) -> None:
    class Undecided(nn.Module):
        def forward(self, hidden: torch.Tensor) -> torch.Tensor:
            return hidden if hidden.sum() > 0 else -hidden  # which of the two depends on the texts

    model = build("bert", num_hidden_layers=1).eval()
    model.bert.pooler.activation = Undecided()
    with pytest.raises(ExportError, match=r"^BertForSequenceClassification cannot be exported: \S"):
        write_onnx(model, tmp_path / "model.onnx")
