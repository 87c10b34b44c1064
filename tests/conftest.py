"""The fixture that several packages' tests share."""

from pathlib import Path

import pytest
from tiny import save_tiny_encoder


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoder")
    save_tiny_encoder(folder)
    return folder
