"""A toy project: a real git and DVC repository with a small map like the real one, whose stages take no time.

A folder of tests that needs it imports the fixtures in its conftest.py, each by name.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import chdir, closing
from pathlib import Path

import pytest
from dvc.repo import Repo

from tests.support.params import SHIPPED_PARAMS
from tests.support.shared_folder import shared_folder

REPOSITORY = Path(__file__).parents[2]

# The more epochs, the better the model: it is wrong on the first (5 - epochs) of every 10 rows.
STAGES = """
import json, sys
from pathlib import Path

def write(path, text):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)

stage = sys.argv[1]
if stage == "ingest":
    write("data/ingested/rows.txt", Path("raw.txt").read_text())
    write("reports/ingest.json", json.dumps({"lines_in": 300, "duplicates": 2, "rows_out": 298}))
elif stage == "validate":
    bad = "bad" in Path("data/ingested/rows.txt").read_text()
    expectation = {"column": "label", "severity": "batch", "allowed": "at least 2", "detail": ""}
    drift = {"severity": "warn", "allowed": "at most 0.2", "detail": "spam is 41 % | 8 % before"}
    verdict = {"passed": not bad, "rows_in": 298, "rows_kept": 297, "rows_quarantined": 1, "rows_released": 0,
        "expectations": [
            expectation | {"name": "labels", "passed": not bad, "observed": 1 if bad else 2,
                "shown": "1" if bad else "2"},
            expectation | drift | {"name": "drift_labels", "passed": False, "observed": 0.31,
                "shown": "0.31"},
        ]}
    write("reports/validation/verdict.json", json.dumps(verdict))
    if bad:
        from bertline.core.stage_command import fail
        fail("validate", "the batch is stopped\\n  labels: one, at least two are needed")
    write("data/validated/rows.txt", "rows")
    write("reports/split/summary.json", json.dumps({"set_aside": 12}))
elif stage == "finetune":
    epochs = Path("params.yaml").read_text().partition("finetune:")[2].partition(" epochs: ")[2].split()[0]
    print("epoch 1 of", epochs)
    write("models/candidate/model.txt", epochs)
    write("models/candidate/config.json", json.dumps({"id2label": {"0": "ham", "1": "spam"}}))
    write("models/candidate/bertline.json", json.dumps({"max_length": 16}))
elif stage == "evaluate":
    import numpy as np
    from bertline.metrics.predictions import Predictions, write_predictions
    expected = np.arange(300) // 10 % 2
    epochs = int(Path("models/candidate/model.txt").read_text())
    for name, wrong in ("candidate", 5 - epochs), ("baseline", 5):
        predicted = np.where(np.arange(300) % 10 < wrong, 1 - expected, expected)
        predictions = Predictions(ids=[f"{i:03}" for i in range(300)], classes=("ham", "spam"),
            expected=expected, probabilities=np.eye(2, dtype=np.float32)[predicted])
        write_predictions(predictions, Path(f"data/predictions/{name}.parquet"))
    numbers = {f"{name}{end}": 0.9 for name in ("accuracy", "macro_f1") for end in ("", "_low", "_high")}
    metrics = {"rows": 300, "candidate": numbers, "baseline": numbers}
    write("reports/evaluation/metrics.json", json.dumps(metrics))
"""

MAP = """
stages:
  evaluate:  # listed first: the order must come from the graph
    cmd: python stages.py evaluate
    deps: [models/candidate, data/validated]
    outs: [data/predictions, reports/evaluation]
  ingest:
    cmd: python stages.py ingest
    deps: [raw.txt]
    outs: [data/ingested]
    metrics:
      - reports/ingest.json:
          cache: false
  validate:
    cmd: python stages.py validate
    deps: [data/ingested]
    outs: [data/validated, reports/validation, reports/split]
  finetune:
    cmd: python stages.py finetune
    deps: [data/validated]
    params: [finetune]
    outs: [models/candidate]
artifacts:
  text-classifier:
    path: models/candidate
    type: model
"""


def run_in(folder: Path, *command: str) -> str:
    """Run a command of the virtual environment in `folder` and return what it printed."""
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def set_epochs(root: Path, epochs: int) -> None:
    """Write finetune.epochs into params.yaml."""
    path = root / "params.yaml"
    before, name, section = path.read_text().partition("\nfinetune:")
    path.write_text(before + name + re.sub(r"(?m)^  epochs: .*", f"  epochs: {epochs}", section, count=1))


def set_flow(root: Path, key: str, value: str) -> None:
    """Write a setting of the section flow into params.yaml."""
    path = root / "params.yaml"
    before, name, section = path.read_text().partition("\nflow:")
    path.write_text(before + name + re.sub(rf"(?m)^  {key}: .*", f"  {key}: {value}", section, count=1))


def add_flows(root: Path) -> None:
    """Commit the real flows, and whatever else lies in the toy project, for `prefect deploy`."""
    shutil.copytree(REPOSITORY / "flows", root / "flows", ignore=shutil.ignore_patterns("__pycache__"))
    with (root / ".gitignore").open("a") as file:
        file.write("__pycache__/\n")
    run_in(root, "git", "add", "--all")
    run_in(root, "git", "commit", "--quiet", "--message", "Flows")


def reproduce(root: Path) -> None:
    """Do as `dvc repro`, without starting a process for it."""
    with chdir(root), closing(Repo()) as repo:
        repo.reproduce()


@pytest.fixture(scope="session", autouse=True)
def environment() -> Iterator[None]:
    """The commands of the virtual environment come first on PATH, and DVC does not phone home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
        patch.setenv("DVC_NO_ANALYTICS", "1")
        yield


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy project, committed, not run yet."""
    return shared_folder(tmp_path_factory, "toy", _make_project)


def _make_project(root: Path) -> None:
    run_in(root, "git", "init", "--quiet", "--initial-branch", "main")
    run_in(root, "git", "config", "user.name", "Toy")
    run_in(root, "git", "config", "user.email", "toy@example.com")
    run_in(root, "dvc", "init", "--quiet")
    shutil.copy(SHIPPED_PARAMS, root)
    shutil.copy(REPOSITORY / "prefect.toml", root)
    set_epochs(root, 3)
    (root / "stages.py").write_text(STAGES)
    (root / "dvc.yaml").write_text(MAP)
    (root / "raw.txt").write_text("rows\n")
    (root / ".gitignore").write_text("/data/\n/models/\n/reports/\n/.bertline/\n")
    run_in(root, "dvc", "add", "--quiet", "raw.txt")
    run_in(root, "git", "add", "--all")
    run_in(root, "git", "commit", "--quiet", "--message", "Start")


@pytest.fixture(scope="session")
def reproduced_template(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy project after `dvc repro`; DVC's run cache knows other epochs, so that tests come by them."""

    def make(root: Path) -> None:
        shutil.copytree(template, root, dirs_exist_ok=True)
        for epochs in (2, 4, 3):
            set_epochs(root, epochs)
            reproduce(root)

    return shared_folder(tmp_path_factory, "reproduced-toy", make)


@pytest.fixture
def fresh(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A toy project of one's own, not run yet; the current folder."""
    root = own(template, tmp_path)
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def project(reproduced_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A toy project of one's own, up to date; the current folder."""
    root = own(reproduced_template, tmp_path)
    monkeypatch.chdir(root)
    return root


def own(template: Path, folder: Path) -> Path:
    """Return a copy of a toy project in `folder`."""
    root = folder / "project"
    shutil.copytree(template, root)
    return root


@pytest.fixture
def retrained(project: Path) -> Callable[[int], Path]:
    """Train the toy model with 2, 3 or 4 epochs: the more, the better. It has been trained with 3."""
    params = project / "params.yaml"

    def retrain(epochs: int) -> Path:
        before = params.read_text()
        set_epochs(project, epochs)
        if params.read_text() != before:
            reproduce(project)
        return project

    return retrain
