"""How quickly a model answers."""

from pathlib import Path

from bertline.models.classifier import Classifier
from bertline.prediction.timing import measure
from tests.support.tiny_model import save_tiny_model


def test_the_latencies_are_in_order_and_the_speed_is_positive(tiny_encoder: Path, tmp_path: Path) -> None:
    model = save_tiny_model(tmp_path / "model", tiny_encoder, onnx=True)
    found = measure(Classifier(model), ["a red cat", "seven"])
    assert 0 < found.median <= found.p95 <= found.p99
    assert found.rows_per_second > 0
