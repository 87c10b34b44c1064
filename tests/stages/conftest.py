"""A folder to run a single stage in, with the repository's own params.yaml."""

import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

PARAMS = Path(__file__).parents[2] / "params.yaml"


@pytest.fixture
def set_params(tmp_path, monkeypatch):
    """Enter an empty folder; each call writes params.yaml there with some knobs of a section changed."""
    monkeypatch.chdir(tmp_path)

    def set_params(section=None, **knobs):
        document = YAML(typ="safe").load(PARAMS.read_text(encoding="utf-8"))
        if section is not None:
            document[section] |= knobs
        with Path("params.yaml").open("w", encoding="utf-8") as file:
            YAML().dump(document, file)

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
