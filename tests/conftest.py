"""The fixture that several packages' tests share, and how threads wait in all of them."""

import os
from pathlib import Path

import pytest
from tiny import save_tiny_encoder

# Read when torch is imported. Test processes share the cores: threads that spin would keep others waiting.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoder")
    save_tiny_encoder(folder)
    return folder
