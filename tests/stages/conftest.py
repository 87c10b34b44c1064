"""A folder to run a single stage in, with the repository's own params.yaml."""

import subprocess
import sys

import pytest
from tiny import write_params


@pytest.fixture
def set_params(tmp_path, monkeypatch):
    """Enter an empty folder; each call writes params.yaml there with some knobs of a section changed."""
    monkeypatch.chdir(tmp_path)

    def set_params(section=None, **knobs):
        write_params(tmp_path, **({section: knobs} if section else {}))

    set_params()
    return set_params


@pytest.fixture
def run_stage():
    """Run `python -m bertline.stages.NAME` in the current folder, as dvc.yaml does."""

    def run_stage(name, **paths):
        flags = [part for flag, path in paths.items() for part in (f"--{flag}", str(path))]
        command = [sys.executable, "-m", f"bertline.stages.{name}", *flags]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return run_stage
