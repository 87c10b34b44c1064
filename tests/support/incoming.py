"""An empty project with a landing folder."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def incoming(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str | bytes], str]:
    """Write a file under data/incoming/ of an empty project; return its path as params.yaml names it."""
    monkeypatch.chdir(tmp_path)
    Path("data/incoming").mkdir(parents=True)

    def write(name: str, content: str | bytes) -> str:
        path = Path("data/incoming", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path.as_posix()

    return write
