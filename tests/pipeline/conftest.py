"""Copies of the project to run the real pipeline in: on tiny data with a tiny encoder, or as it is."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.forked_stages import Environment
from tests.support.params import write_params
from tests.support.tiny import Run, commit, copy_project, make_texts, write_csv


@pytest.fixture(scope="session")
def run(forked_stages: Environment) -> Run:
    """Run a command in a copy of the project; it and its stages run in forks."""

    def run(project: Path, *command: str) -> subprocess.CompletedProcess[str]:
        env = forked_stages(project)
        return subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Path:
    """A committed copy of the project with a tiny corpus and a tiny encoder."""
    project = tmp_path_factory.mktemp("template") / "project"
    copy_project(project)
    shutil.copytree(tiny_encoder, project / "models/tiny")
    rows = make_texts(400)
    conflict = [("what is this", "animal"), ("What  is this", "colour")]
    write_csv(project / "data/incoming/rows.csv", [*rows, *rows[:25], *conflict, (" ", "animal")])
    write_params(
        project,
        ingest={"source": "data/incoming/rows.csv"},
        split={"validation": 0.2, "test": 0.3},
        tokenize={"weights": "models/tiny"},
        finetune={
            "epochs": 8,
            "batch_size": 8,
            "learning_rate": 3e-3,
            "device": "cpu",
            "threads": 1,  # two of them would wait for each other most of the time
            "checkpoint_every": 10,
        },
        promote={"min_accuracy": 0.0, "min_gain_over_baseline": -1.0},
    )
    commit(project)
    return project


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Path:
    """A fresh copy of the template."""
    return Path(shutil.copytree(template, tmp_path / "project"))


@pytest.fixture(scope="session")
def retrained(template: Path, run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the template in which the flow has run once; a test that changes it copies it first."""
    project = Path(shutil.copytree(template, tmp_path_factory.mktemp("retrained") / "project"))
    done = run(project, sys.executable, "-m", "flows.retrain")
    assert done.returncode == 0, done.stdout + done.stderr
    (project / "stdout.txt").write_text(done.stdout)
    return project
