from pathlib import Path

import pytest

from tests.support.tiny_model import save_tiny_model


@pytest.fixture(scope="session")
def model_folder(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of texts, with ONNX."""
    return save_tiny_model(tmp_path_factory.mktemp("texts") / "model", tiny_encoder, onnx=True)
