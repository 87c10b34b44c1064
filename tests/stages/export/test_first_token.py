from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from bertline.models.onnx_backend import OnnxBackend
from bertline.stages.export.onnx_model import write_onnx
from tests.support.architectures import build


def shape_behind_last_gelu(path: Path) -> tuple[int, ...]:
    """Return the shape of what the last feed-forward layer computes for three texts of five tokens."""
    model = onnx.load(path)
    name = [node.output[0] for node in model.graph.node if node.op_type == "BiasGelu"][-1]
    model.graph.output.append(onnx.ValueInfoProto(name=name))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    ids = np.full((3, 5), 7)
    given = {each.name: ids if each.name == "input_ids" else ids * 0 + 1 for each in session.get_inputs()}
    return tuple(session.run([name], given)[0].shape)


@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_the_last_layer_computes_one_token_of_each_text(kind: str, tmp_path: Path) -> None:
    layers = {"n_layers" if kind == "distilbert" else "num_hidden_layers": 2}
    model = build(kind, **layers).eval()
    write_onnx(model, tmp_path / "model.onnx")
    rows, *rest = shape_behind_last_gelu(tmp_path / "model.onnx")
    assert rows == 3
    assert len(rest) == 1
    ids = np.arange(15).reshape(3, 5) + 3
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    with torch.inference_mode():
        expected = model(**{name: torch.from_numpy(each) for name, each in inputs.items()}).logits
    np.testing.assert_allclose(OnnxBackend(tmp_path / "model.onnx").run(inputs)[0], expected, atol=1e-5)
