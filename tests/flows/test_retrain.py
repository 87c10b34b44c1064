import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect import State
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from bertline.project.reproduction import StageError
from bertline.registry.registry import Registry
from flows import retrain
from flows.retraining.dvc_tasks import run_pipeline
from tests.support.prefect_server import prepared_home
from tests.support.toy_project import REPOSITORY, run_in, set_epochs, set_flow
from tests.support.waiting import when_logged


def test_a_retraining_promotes_the_first_model_and_says_so(
    fresh: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert retrain.main([]) == 0
    shown = capsys.readouterr().out
    assert "rows     300 in · 2 duplicates · 1 quarantined · 12 near-duplicates removed" in shown
    assert "warned   drift_labels is 0.31 (allowed: at most 0.2): spam is 41 %" in shown
    assert "candidate (BERT)    accuracy 0.900 [0.900, 0.900]" in shown
    assert "promoted: v1.0.0 is the champion now" in shown
    champion = Registry(fresh).champion()
    assert champion is not None
    assert champion.name == "v1.0.0"


def test_run_again_it_says_that_there_is_nothing_to_do(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [retrain.main([]), retrain.main([]), retrain.main(["--exit-code"])] == [0, 0, 12]
    assert "the candidate is the champion v1.0.0, bit for bit: nothing to do" in capsys.readouterr().out
    assert len(Registry(project).versions()) == 1


def test_the_run_leaves_metrics_and_verdict_as_artifacts(project: Path) -> None:
    run = retrain.retrain(return_state=True).state_details.flow_run_id
    with get_client(sync_client=True) as client:
        artifacts = {each.key: each.data for each in client.read_artifacts() if each.flow_run_id == run}
    rows = json.loads(artifacts["metrics"])
    assert [row["model"] for row in rows] == ["candidate (BERT)", "baseline (TF-IDF)"]
    assert "reports/evaluation/report.html" in artifacts["verdict"]
    assert "## Validation: the batch passed" in artifacts["validation"]


def test_a_batch_that_is_stopped_leaves_its_verdict_as_an_artifact(project: Path) -> None:
    (project / "raw.txt").unlink()
    (project / "raw.txt").write_text("bad\n")
    with pytest.raises(StageError):
        retrain.retrain()
    with get_client(sync_client=True) as client:
        verdicts = [each for each in client.read_artifacts() if each.key == "validation"]
    newest = max(verdicts, key=lambda each: each.created)
    assert newest.description == "the batch was stopped"
    assert "| labels (batch) | 1 | at least 2 |" in newest.data


def test_a_stopped_batch_ends_with_its_one_error_and_status_3(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "raw.txt").unlink()
    (project / "raw.txt").write_text("bad\n")
    assert retrain.main([]) == 3
    assert capsys.readouterr().err.splitlines()[-2:] == [
        "error: validate: the batch is stopped",
        "  labels: one, at least two are needed",
    ]


def test_a_users_mistake_ends_with_one_error_line_and_status_1(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_epochs(project, -1)
    assert retrain.main([]) == 1
    assert "error: params.yaml: finetune.epochs is -1" in capsys.readouterr().err


def test_a_stage_that_is_not_in_the_map_is_one_error_line(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert retrain.main(["--until", "train"]) == 1
    known = "raw.txt.dvc, ingest, validate, finetune, evaluate"
    assert f"error: there is no stage 'train' in dvc.yaml; there are: {known}\n" in capsys.readouterr().err


def test_a_run_up_to_a_stage_judges_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert retrain.main(["--until", "validate"]) == 0
    assert "ran up to validate; no model was judged" in capsys.readouterr().out
    assert Registry(project).versions() == []


def test_a_dry_run_comes_to_a_verdict_and_promotes_nothing(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert retrain.main(["--dry-run"]) == 0
    assert "verdict  promote models/candidate" in capsys.readouterr().out
    assert Registry(project).versions() == []


def test_the_version_is_pushed_to_the_git_remote_that_is_asked_for(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert retrain.main(["--push", "team"]) == 1
    assert "error: the option push is 'team', no git remote of this checkout" in capsys.readouterr().err
    run_in(tmp_path, "git", "clone", "--quiet", "--bare", str(project), "bare.git")
    run_in(project, "git", "remote", "add", "team", str(tmp_path / "bare.git"))
    assert retrain.main(["--push", "team"]) == 0
    assert "version  pushed to team: refs/exps/" in capsys.readouterr().out
    tags = run_in(tmp_path / "bare.git", "git", "tag").split()
    assert tags == ["text-classifier#champion#1", "text-classifier@v1.0.0"]


def test_every_parameter_has_a_help_text_in_the_form() -> None:
    fields = retrain.retrain.parameters.properties
    assert [*fields] == ["force", "until", "dry_run", "push", "note", "why"]
    assert all(field["description"] for field in fields.values())


def test_a_server_that_does_not_answer_is_one_error_line(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        assert retrain.main([]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: no Prefect server answers at PREFECT_API_URL=http://127.0.0.1:9/api")
    assert line.endswith("start one with: make up, or do without: prefect config unset PREFECT_API_URL")


def test_a_failing_machine_ends_with_one_error_line(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(retrain, "run_pipeline", full)
    assert retrain.main([]) == 1
    assert capsys.readouterr().err.endswith("error: [Errno 28] No space left on device\n")


def test_a_server_that_goes_away_while_it_runs_is_one_error_line(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*arguments: object, **options: object) -> None:
        raise httpx.ConnectError("[Errno 111] Connection refused")

    monkeypatch.setattr(retrain, "run_pipeline", gone)
    assert retrain.main([]) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: the Prefect server is gone ([Errno 111] Connection refused); ")
    assert line.endswith("run the same command again to continue")


def test_a_checkout_edited_while_training_ran_is_not_promoted(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def edited(root: Path, until: str, *, force: bool) -> dict[str, State[Any]]:
        states = run_pipeline(root, until, force=force)
        set_epochs(root, 2)
        return states

    monkeypatch.setattr(retrain, "run_pipeline", edited)
    assert retrain.main([]) == 1
    assert "error: the candidate is not up to date (stale: finetune)" in capsys.readouterr().err
    assert Registry(project).versions() == []


def test_an_interruption_ends_with_status_130(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(retrain, "run_pipeline", interrupted)
    assert retrain.main([]) == 130


@pytest.mark.parametrize(
    ("ending", "send"), [(signal.SIGINT, os.killpg), (signal.SIGHUP, os.killpg), (signal.SIGTERM, os.kill)]
)
def test_ctrl_c_a_closed_terminal_or_kill_ends_the_whole_command_at_once(
    project: Path,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    ending: signal.Signals,
    send: Callable[[int, int], None],
) -> None:
    """A terminal signals every process of the command, Prefect's own server too; `kill` just the one."""
    (project / "stages.py").write_text("import time; print('working', flush=True); time.sleep(300)")
    run_in(project, "git", "commit", "--all", "--quiet", "--message", "Slow")
    (project / "raw.txt").unlink()
    (project / "raw.txt").write_text("other rows\n")
    theirs = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    home = prepared_home(tmp_path_factory)
    env = theirs | {"PYTHONPATH": str(REPOSITORY), "PREFECT_HOME": str(home)}
    log = tmp_path / "log"
    before = signal.signal(ending, signal.default_int_handler)  # a child would ignore what is ignored here
    with log.open("w") as output:
        command = [sys.executable, "-m", "flows.retrain"]
        driver = subprocess.Popen(
            command, cwd=project, env=env, stdout=output, stderr=output, start_new_session=True
        )
    signal.signal(ending, before)
    try:
        deadline = time.monotonic() + 180
        while "working" not in log.read_text():
            assert driver.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        send(driver.pid, ending)
        assert driver.wait(timeout=30) == 130
        assert log.read_text().endswith("error: interrupted; run the same command again to continue\n")
        with pytest.raises(ProcessLookupError):
            os.killpg(driver.pid, 0)
    finally:
        driver.kill()
        driver.wait()


HOLD = (
    "import os, time; from pathlib import Path; from bertline.project.run_lock import only_run\n"
    "with only_run(Path.cwd()):\n"
    "    print('held', flush=True)\n"
    "    while not os.path.exists('go'): time.sleep(0.1)"
)


@pytest.fixture
def by_hand(project: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process at work in the project, until the file `go` is there."""
    (project / ".git/info/exclude").write_text("go\n")
    process = subprocess.Popen([sys.executable, "-c", HOLD], cwd=project, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    yield process
    (project / "go").touch()
    process.communicate(timeout=60)


def test_a_run_of_a_deployment_waits_for_one_by_hand_and_then_goes_on(
    project: Path,
    by_hand: subprocess.Popen[bytes],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", "weekly")
    said = f"(process {by_hand.pid}) is running in {project}; waiting for it, for 43200 seconds"
    with caplog.at_level(logging.INFO):
        when_logged(caplog, said, (project / "go").touch)
        retrain.retrain()
    assert said in caplog.text
    assert len(Registry(project).versions()) == 1


def test_a_run_of_a_deployment_outlives_the_worker_that_reads_its_output(
    project: Path, server_environment: dict[str, str]
) -> None:
    env = server_environment | {"PYTHONPATH": str(REPOSITORY), "PREFECT__RUNTIME__DEPLOYMENT__ID": "weekly"}
    command = [sys.executable, "-m", "flows.retrain"]
    run = subprocess.Popen(command, cwd=project, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert run.stdout is not None
    assert b"raw.txt.dvc" in run.stdout.readline()
    run.stdout.close()
    assert run.wait(timeout=300) == 0
    assert len(Registry(project).versions()) == 1


def test_it_fails_when_it_has_waited_for_as_long_as_it_may(
    project: Path, by_hand: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", "weekly")
    set_flow(project, "wait", "1")
    with pytest.raises(ValueError, match=rf"\(process {by_hand.pid}\) is running in .*kill {by_hand.pid}"):
        retrain.retrain()


def test_a_run_by_hand_is_refused_at_once(
    project: Path, by_hand: subprocess.Popen[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    assert retrain.main([]) == 1
    assert f"error: another retraining or promotion (process {by_hand.pid})" in capsys.readouterr().err


def test_what_a_killed_dvc_has_left_is_mended_and_told(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / ".dvc/tmp/rwlock").write_text('{"write": {"mod')
    assert retrain.main([]) == 0
    assert "removed .dvc/tmp/rwlock, which a killed DVC left half-written" in capsys.readouterr().out
