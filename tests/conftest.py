"""The fixture that several packages' tests share, how threads wait in all of them, and that Ctrl-C counts."""

import os
import signal
from pathlib import Path

import pytest
from tiny import save_tiny_encoder

# Read when torch is imported. Test processes share the cores: threads that spin would keep others waiting.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# A script has its background jobs ignore Ctrl-C, and with them all that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoder")
    save_tiny_encoder(folder)
    return folder
