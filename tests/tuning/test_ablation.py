"""Ablation, in a project with real git and DVC whose trainings take no time."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.params import write_params
from tests.support.tiny import commit, is_running

STAGES = """
import json, os, sys, time
from pathlib import Path
from ruamel.yaml import YAML

def write(path, text):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)

params = YAML(typ="safe").load(Path("params.yaml"))
tune, stage = params["finetune"], sys.argv[1]
if stage == "tokenize":
    write("data/tokens/tokens.txt", Path("raw.txt").read_text())
elif stage == "adapt":
    write("models/adapted/adapted.json", json.dumps(params["adapt"]["objective"]))
elif stage == "finetune":
    outside = Path(os.environ["OUTSIDE"])
    with (outside / "trainings.txt").open("a") as file:
        print(tune["seed"], tune["schedule"], file=file)
    while (outside / "wait").exists():
        time.sleep(0.05)
    if tune["learning_rate"] > 3e-4:
        from bertline.core.stage_command import fail
        fail("finetune", "the loss is nan at step 3")
    teacher = Path("models/teacher/teacher.txt").read_text()
    adapted = Path("models/adapted/adapted.json").read_text()
    score = 0.5 + 0.01 * tune["seed"] + 0.1 * (tune["schedule"] == "cosine") + 0.2 * ("mlm" in adapted)
    score += 0.001 * tune["seed"] * (tune["schedule"] == "cosine" or "mlm" in adapted)
    write("models/candidate/model.txt", str(score))
    write("reports/finetune/summary.json", json.dumps(
        {"validation_macro_f1": score, "validation_accuracy": 0.9, "teacher": teacher}))
elif stage == "evaluate":
    write("reports/evaluation/metrics.json", json.dumps({"test_score": 0.123}))
"""

MAP = """
stages:
  tokenize: {cmd: python stages.py tokenize, deps: [raw.txt], outs: [data/tokens]}
  adapt: {cmd: python stages.py adapt, deps: [data/tokens], params: [adapt], outs: [models/adapted]}
  finetune:
    cmd: python stages.py finetune
    deps: [data/tokens, models/adapted, models/teacher]
    params: [finetune]
    outs: [models/candidate, reports/finetune]
  evaluate: {cmd: python stages.py evaluate, deps: [models/candidate], outs: [reports/evaluation]}
metrics: [reports/finetune/summary.json, reports/evaluation/metrics.json]
"""


def start(project: Path, *options: str, before: Callable[[], object] | None = None) -> subprocess.Popen[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    names = {f"GIT_{role}_{part}": "t@e" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    command = [sys.executable, "-c", "from bertline.cli.app import app; app()", "ablate", *options]
    return subprocess.Popen(
        command,
        cwd=project,
        env=os.environ | names | {"PATH": path, "OUTSIDE": str(project.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=before,  # noqa: PLW1509 - no other thread runs in a test
    )


def ignore_interruptions() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def ablate(project: Path, *options: str) -> subprocess.CompletedProcess[str]:
    process = start(project, *options)
    stdout, stderr = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def dvc(project: Path, *command: str) -> str:
    whole = [sys.executable, "-m", "dvc", *command]
    return subprocess.run(whole, cwd=project, capture_output=True, text=True, check=True).stdout


def trainings(project: Path) -> list[str]:
    return (project.parent / "trainings.txt").read_text().splitlines()


def state(project: Path) -> dict[str, object]:
    """All that an ablation must leave alone: what git sees, and the bytes of params, lock and outputs."""
    status = subprocess.run(
        ["git", "status", "--porcelain", "--branch", "--untracked-files=all"],
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    files = [
        project / "params.yaml",
        project / "dvc.lock",
        *project.glob("models/*/*"),
        *project.glob("reports/*/*"),
    ]
    return {"status": status.replace("?? reports/ablation.csv\n", "")} | {
        str(f): f.read_bytes() for f in files
    }


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Path:
    """A project that has been run once, with an encoder and a teacher that git does not hold."""
    root = tmp_path_factory.mktemp("template") / "project"
    (root / "src").mkdir(parents=True)
    (root / "src/code.py").write_text("")
    (root / "stages.py").write_text(STAGES)
    (root / "dvc.yaml").write_text(MAP)
    (root / "raw.txt").write_text("rows\n")
    (root / ".gitignore").write_text(
        "/data/\n/models/\n/reports/finetune\n/reports/evaluation\n/.bertline/\n"
    )
    write_params(root, tokenize={"weights": "models/tiny"}, finetune={"epochs": 3, "learning_rate": 2e-4})
    shutil.copytree(tiny_encoder, root / "models/tiny")
    (root / "models/teacher").mkdir()
    (root / "models/teacher/teacher.txt").write_text("wise")
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    dvc(root, "init", "--quiet")
    dvc(root, "config", "core.analytics", "false")
    commit(root)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = os.environ | {"PATH": path, "OUTSIDE": str(root.parent)}
    subprocess.run([sys.executable, "-m", "dvc", "repro", "--quiet"], cwd=root, env=env, check=True)
    return root


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Path:
    """A copy of the template, and the list of trainings beside it."""
    shutil.copy(template.parent / "trainings.txt", tmp_path)
    return Path(shutil.copytree(template, tmp_path / "project"))


def test_two_techniques_with_two_seeds_are_experiments_and_a_verdict_and_the_checkout_is_as_it_was(
    project: Path,
) -> None:
    (project / "params.yaml").write_text("# mine\n" + (project / "params.yaml").read_text())  # not committed
    before = state(project)
    done = ablate(project, "--techniques", "cosine,mlm", "--seeds", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert state(project) == before
    assert len(trainings(project)) == 1 + 5  # seed 1 of the params as they are came from DVC's cache

    shown = json.loads(dvc(project, "exp", "show", "--json"))
    experiments = {each["name"]: each["revs"][0]["data"] for each in shown[1]["experiments"]}
    assert sorted(experiments) == [
        f"ablate-{technique}-seed-{seed}" for technique in ("base", "cosine", "mlm") for seed in (1, 5)
    ]
    params = experiments["ablate-cosine-seed-5"]["params"]["params.yaml"]["data"]
    assert (params["finetune"]["schedule"], params["finetune"]["seed"]) == ("cosine", 5)
    metrics = experiments["ablate-cosine-seed-5"]["metrics"]
    assert metrics["reports/finetune/summary.json"]["data"]["validation_macro_f1"] == pytest.approx(0.655)
    assert metrics["reports/finetune/summary.json"]["data"]["teacher"] == "wise"
    assert "test_score" not in json.dumps(metrics)

    with (project / "reports/ablation.csv").open() as file:
        rows = {row["technique"]: row for row in csv.DictReader(file)}
    assert float(rows["cosine"]["macro_f1_difference"]) == pytest.approx(0.103)
    assert rows["cosine"]["verdict"] == rows["mlm"]["verdict"] == "helps"
    assert float(rows["mlm"]["minutes"]) > 0
    assert done.stdout.index("mlm  ") < done.stdout.index("cosine  ")  # the larger difference first

    again = ablate(project, "--techniques", "cosine,mlm", "--seeds", "2")
    assert again.returncode == 0
    assert len(trainings(project)) == 6
    assert [line for line in again.stdout.splitlines() if line.startswith("mlm  ")] == [
        line for line in done.stdout.splitlines() if line.startswith("mlm  ")
    ]


def test_a_technique_that_fails_is_named_with_its_error_and_the_others_go_on(project: Path) -> None:
    done = ablate(project, "--techniques", "learning-rate-doubled,cosine", "--seeds", "2")
    assert done.returncode == 1
    assert done.stderr == "learning-rate-doubled failed: finetune: the loss is nan at step 3\n"
    assert [line for line in done.stdout.splitlines() if line.startswith("cosine  ")]
    assert (
        trainings(project).count("1 linear") == 2
    )  # the user's own, and the technique: it is not tried again
    assert trainings(project).count("5 linear") == 1


@pytest.mark.parametrize(
    ("number", "started_by"),
    [(signal.SIGINT, None), (signal.SIGTERM, ignore_interruptions)],
    ids=["ctrl-c", "background-job"],
)
def test_an_interrupted_ablation_leaves_the_checkout_as_it_was_and_goes_on(
    project: Path, number: signal.Signals, started_by: Callable[[], object] | None
) -> None:
    before = state(project)
    wait = project.parent / "wait"
    wait.touch()
    process = start(project, "--techniques", "cosine", "--seeds", "1", before=started_by)
    while "1 cosine" not in trainings(project):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr == "error: interrupted; run the same command again to continue\n"
    assert state(project) == before
    wait.unlink()

    done = ablate(project, "--techniques", "cosine", "--seeds", "1")
    assert done.returncode == 0, done.stderr
    assert trainings(project) == ["1 linear", "1 cosine", "1 cosine"]
    assert "One seed shows nothing" in done.stdout


def test_an_ablation_that_was_killed_goes_on_and_ends_what_it_had_left_running(project: Path) -> None:
    wait = project.parent / "wait"
    wait.touch()
    process = start(project, "--techniques", "cosine", "--seeds", "1")
    while "1 cosine" not in trainings(project):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.kill()
    process.wait()
    left = json.loads((project / ".bertline/ablation/running.json").read_text())["pid"]
    assert is_running(left)
    wait.unlink()
    again = ablate(project, "--techniques", "cosine", "--seeds", "1")
    assert (again.returncode, again.stderr) == (0, "")
    assert not is_running(left)


def test_uncommitted_code_is_refused_before_anything_runs(project: Path) -> None:
    (project / "src/code.py").write_text("changed = True\n")
    done = ablate(project)
    assert done.returncode == 1
    assert "src/code.py has uncommitted changes" in done.stderr
    assert not (project / ".bertline").exists()
