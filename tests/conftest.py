"""The fixture that several packages' tests share, and that Ctrl-C counts in all of them."""

import os
import signal
from pathlib import Path

import pytest

import bertline  # noqa: F401  before a test loads torch: how threads wait
from tests.support.tiny import save_tiny_encoder

pytest_plugins = [
    "tests.support.forked_stages",
    "tests.support.incoming",
    "tests.support.own_folder",
    "tests.support.services",  # before postgresql, which imports it: pytest rewrites the asserts of plugins
    "tests.support.postgresql",
    "tests.support.single_stage",
    "tests.support.training_data",
]

# A script has its background jobs ignore Ctrl-C, and with them all that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers() -> int:
    """More than there are cores, because some tests wait for processes and servers."""
    return (os.cpu_count() or 1) * 3 // 2


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take minutes, or a core would be alone with one of them at the end."""
    items.sort(key=lambda item: item.path.parent.name not in {"pipeline", "training", "tuning"})


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoder")
    save_tiny_encoder(folder)
    return folder
