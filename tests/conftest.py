"""The fixture that several packages' tests share, and that Ctrl-C counts in all of them."""

import signal
from pathlib import Path

import pytest
from tiny import save_tiny_encoder

import bertline  # noqa: F401  before a test loads torch: how threads wait

# A script has its background jobs ignore Ctrl-C, and with them all that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoder")
    save_tiny_encoder(folder)
    return folder
