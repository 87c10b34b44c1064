"""A folder of its own for a test that reads or writes files beside it."""

from pathlib import Path

import pytest


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Enter an empty folder and return it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
