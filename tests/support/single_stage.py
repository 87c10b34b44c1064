"""A folder to run a single stage in, with params.yaml as it ships."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.params import write_params


@pytest.fixture
def set_params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Enter an empty folder; each call writes params.yaml there with some keys of a section changed."""
    monkeypatch.chdir(tmp_path)

    def set_params(section: str | None = None, **changes: object) -> None:
        write_params(tmp_path, **({section: changes} if section else {}))

    set_params()
    return set_params


@pytest.fixture
def run_stage() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Run `python -m bertline.stages.NAME` in the current folder, as dvc.yaml does."""

    def run_stage(name: str, **paths: Path | str) -> "subprocess.CompletedProcess[str]":
        flags = [part for flag, path in paths.items() for part in (f"--{flag}", str(path))]
        command = [sys.executable, "-m", f"bertline.stages.{name}", *flags]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return run_stage
