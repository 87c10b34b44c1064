import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect import State
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings
from toy_project import REPOSITORY, run_in, set_epochs

from bertline.promotion.registry import Registry
from flows import retrain
from flows.bridge import StageError, run_pipeline


def test_a_retraining_promotes_the_first_model_and_says_so(
    fresh: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert retrain.main() == 0
    shown = capsys.readouterr().out
    assert "rows     300 in · 2 duplicates · 1 quarantined · 12 near-duplicates set aside" in shown
    assert "warned   drift_labels is 0.31 (allowed: at most 0.2): spam is 41 %" in shown
    assert "candidate (BERT)    accuracy 0.900 [0.900, 0.900]" in shown
    assert "promoted: v1.0.0 is the champion now" in shown
    champion = Registry(fresh).champion()
    assert champion is not None
    assert champion.name == "v1.0.0"


def test_run_again_it_says_that_there_is_nothing_to_do(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [retrain.main(), retrain.main()] == [0, 0]
    assert "the candidate is the champion v1.0.0, bit for bit: nothing to do" in capsys.readouterr().out
    assert len(Registry(project).versions()) == 1


def test_the_run_leaves_metrics_and_verdict_as_artifacts(project: Path) -> None:
    retrain.retrain()
    with get_client(sync_client=True) as client:
        artifacts = {artifact.key: artifact.data for artifact in client.read_artifacts()}
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
    assert "| labels | batch | 1 | at least 2 | **failed** |" in newest.data


def test_a_failing_stage_ends_with_its_one_error_and_status_1(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "raw.txt").unlink()
    (project / "raw.txt").write_text("bad\n")
    assert retrain.main() == 1
    assert capsys.readouterr().err.splitlines()[-2:] == [
        "error: validate: the batch is stopped",
        "  labels: one, at least two are needed",
    ]


def test_a_users_mistake_ends_with_one_error_line_and_status_1(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_epochs(project, -1)
    assert retrain.main() == 1
    assert "error: params.yaml: finetune.epochs is -1" in capsys.readouterr().err


def test_a_server_that_does_not_answer_is_one_error_line(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        assert retrain.main() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: no Prefect server answers at PREFECT_API_URL=http://127.0.0.1:9/api")
    assert line.endswith("start one with: make ui, or do without: unset PREFECT_API_URL")


def test_a_failing_machine_ends_with_one_error_line(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(root: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(retrain, "run_pipeline", full)
    assert retrain.main() == 1
    assert capsys.readouterr().err.endswith("error: [Errno 28] No space left on device\n")


def test_a_server_that_goes_away_while_it_runs_is_one_error_line(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(root: Path) -> None:
        raise httpx.ConnectError("[Errno 111] Connection refused")

    monkeypatch.setattr(retrain, "run_pipeline", gone)
    assert retrain.main() == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: the Prefect server is gone ([Errno 111] Connection refused); ")
    assert line.endswith("run the same command again to continue")


def test_a_checkout_edited_while_training_ran_is_not_promoted(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def edited(root: Path) -> dict[str, State[Any]]:
        states = run_pipeline(root)
        set_epochs(root, 2)
        return states

    monkeypatch.setattr(retrain, "run_pipeline", edited)
    assert retrain.main() == 1
    assert "error: the candidate is not up to date (stale: finetune)" in capsys.readouterr().err
    assert Registry(project).versions() == []


def test_an_interruption_ends_with_status_130(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(root: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(retrain, "run_pipeline", interrupted)
    assert retrain.main() == 130


@pytest.mark.parametrize(
    ("ending", "send"), [(signal.SIGINT, os.killpg), (signal.SIGHUP, os.killpg), (signal.SIGTERM, os.kill)]
)
def test_ctrl_c_a_closed_terminal_or_kill_ends_the_whole_command_at_once(
    project: Path, tmp_path: Path, ending: signal.Signals, send: Callable[[int, int], None]
) -> None:
    """A terminal signals every process of the command, Prefect's own server too; `kill` just the one."""
    (project / "stages.py").write_text("import time; print('working', flush=True); time.sleep(300)")
    run_in(project, "git", "commit", "--all", "--quiet", "--message", "Slow")
    (project / "raw.txt").unlink()
    (project / "raw.txt").write_text("other rows\n")
    theirs = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    env = theirs | {"PYTHONPATH": str(REPOSITORY), "PREFECT_HOME": str(tmp_path / "prefect")}
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
