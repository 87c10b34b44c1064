"""`dvc repro` and the flow drive the same map: whichever runs, the result is the same, bit for bit.

What else needs the project in which the flow has run is here too, so that the flow runs once.
"""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from bertline.tuning.yaml_edit import edit
from tests.support.tiny import Run, environment
from tests.support.waiting import wait_until

FLOW = (sys.executable, "-m", "flows.retrain")


def children_of(project: Path) -> list[int]:
    """Return the processes whose working directory is `project`."""
    folder = str(project.resolve())
    return [each.pid for each in psutil.process_iter(["cwd"]) if each.info["cwd"] == folder]


def test_the_flow_and_dvc_repro_write_the_same_lock(retrained: Path, project: Path, run: Run) -> None:
    done = run(project, "dvc", "repro")
    assert done.returncode == 0, done.stderr
    assert (project / "dvc.lock").read_bytes() == (retrained / "dvc.lock").read_bytes()


def test_dvc_repro_has_nothing_to_do_after_the_flow(retrained: Path, run: Run) -> None:
    assert "Data and pipelines are up to date." in run(retrained, "dvc", "repro").stdout


def test_the_flow_changes_nothing_that_git_tracks(retrained: Path, run: Run) -> None:
    assert run(retrained, "git", "status", "--porcelain", "--untracked-files=no").stdout == ""


def test_the_first_model_is_promoted_and_dvc_can_fetch_it(retrained: Path, run: Run, tmp_path: Path) -> None:
    tags = run(retrained, "git", "tag").stdout.split()
    assert tags == ["text-classifier#champion#1", "text-classifier@v1.0.0"]
    fetched = tmp_path / "fetched"
    arguments = ("text-classifier", "--stage", "champion", "--out", str(fetched))
    done = run(retrained, "dvc", "artifacts", "get", ".", *arguments)
    assert done.returncode == 0, done.stderr
    candidate = (retrained / "models/candidate/model.safetensors").read_bytes()
    assert (fetched / "model.safetensors").read_bytes() == candidate


def test_a_second_flow_finds_everything_cached_and_nothing_to_promote(
    retrained: Path, run: Run, tmp_path: Path
) -> None:
    project = Path(shutil.copytree(retrained, tmp_path / "again", symlinks=True))
    done = run(project, *FLOW)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (
        "cached: ingest, validate, split, tokenize, adapt, finetune, baseline, export, evaluate, package"
        in done.stdout
    )
    assert "bit for bit: nothing to do" in done.stdout
    assert run(project, "git", "tag").stdout.split() == run(retrained, "git", "tag").stdout.split()


def test_every_row_is_accounted_for_and_the_summary_says_so(retrained: Path) -> None:
    ingested = json.loads((retrained / "reports/ingest.json").read_text())
    verdict = json.loads((retrained / "reports/validation/verdict.json").read_text())
    splits = json.loads((retrained / "reports/split/summary.json").read_text())
    kept = sum(splits[side] for side in ("train", "validation", "test", "set_aside"))
    assert (ingested["lines_in"], ingested["duplicates"]) == (428, 25)
    assert verdict["rows_quarantined"] == 3
    assert kept == 428 - 25 - 3
    assert "428 in · 25 duplicates · 3 quarantined" in (retrained / "stdout.txt").read_text()


def test_the_command_line_serves_the_champion(retrained: Path, run: Run) -> None:
    done = run(retrained, "bertline", "predict", "where is my cat")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\t")[0] in {"animal", "colour", "number"}


def test_a_smaller_student_learns_from_the_champion(retrained: Path, run: Run, tmp_path: Path) -> None:
    project = Path(shutil.copytree(retrained, tmp_path / "project", symlinks=True))
    fetch = ("text-classifier", "--stage", "champion", "--force", "-o", "models/teacher")
    done = run(project, "dvc", "artifacts", "get", ".", *fetch)
    assert done.returncode == 0, done.stderr
    params = project / "params.yaml"
    params.write_text(edit(params.read_text(), {"finetune.layers": 1, "finetune.distillation": 0.5}))
    done = run(project, "dvc", "repro", "evaluate")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((project / "models/finetuned/config.json").read_text())["num_hidden_layers"] == 1


def test_a_stopped_batch_shows_why(project: Path, run: Run) -> None:
    with (project / "data/incoming/rows.csv").open("w") as file:
        file.write("text,label\n" + "".join(f"text {i},animal\n" for i in range(200)) + "one more,colour\n")
    done = run(project, *FLOW)
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1].startswith("error: validate: ")
    assert "label 'colour' has 1 row" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert (project / "reports/validation/index.html").is_file()


def test_ctrl_c_in_fine_tuning_leaves_no_process_and_the_next_run_continues(
    retrained: Path, project: Path, run: Run
) -> None:
    done = run(project, "dvc", "repro", "tokenize")
    assert done.returncode == 0, done.stderr
    env = environment(project) | {"PYTHONUNBUFFERED": "1"}  # no forks: the stages are as they are for a user
    flow = subprocess.Popen(FLOW, cwd=project, env=env, stderr=subprocess.DEVNULL)
    wait_until(lambda: [*project.glob(".bertline/checkpoints/finetune/*/1/latest.safetensors")])
    flow.send_signal(signal.SIGINT)
    assert flow.wait(timeout=60) == 130
    wait_until(lambda: not children_of(project), 20)
    assert children_of(project) == []
    repro = ["dvc", "repro"]
    done = subprocess.run(repro, cwd=project, env=env, capture_output=True, text=True, check=False)
    assert "continuing from the checkpoint of an interrupted run" in done.stdout
    assert (project / "dvc.lock").read_bytes() == (retrained / "dvc.lock").read_bytes()
