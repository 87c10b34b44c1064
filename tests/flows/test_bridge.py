import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from dvc.repo import Repo
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName
from prefect.settings import PREFECT_API_URL
from tiny import is_running
from toy_project import REPOSITORY, run_in

from flows.bridge import StageError, run_pipeline

ORDER = ["raw.txt.dvc", "ingest", "validate", "finetune", "evaluate"]


def drive(root: Path, name: str = "run") -> dict[str, str]:
    @flow(name="drive", flow_run_name=name)
    def run() -> dict[str, str]:
        return {stage: state.name or "" for stage, state in run_pipeline(root).items()}

    return run()


def recorded(name: str) -> dict[str, str]:
    """Task run name to state name, as the server has them."""
    with get_client(sync_client=True) as client:
        runs = client.read_task_runs(flow_run_filter=FlowRunFilter(name=FlowRunFilterName(any_=[name])))
        return {run.name: run.state_name or "" for run in runs}


def change(root: Path, text: str) -> None:
    path = root / "raw.txt"
    path.unlink()  # it may be a link into DVC's cache
    path.write_text(text)


def test_the_lock_is_byte_equal_to_that_of_dvc_repro(fresh: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(fresh, other)
    drive(fresh)
    run_in(other, "dvc", "repro")
    assert (fresh / "dvc.lock").read_bytes() == (other / "dvc.lock").read_bytes()


def test_every_node_is_one_task_run_in_the_order_of_the_graph(fresh: Path) -> None:
    assert list(drive(fresh, "order")) == ORDER
    assert recorded("order").keys() == set(ORDER)


def test_a_second_run_is_cached_and_the_server_shows_it(project: Path) -> None:
    assert set(drive(project, "cached").values()) == {"Cached"}
    assert set(recorded("cached").values()) == {"Cached"}


def test_after_a_flow_dvc_repro_does_nothing(fresh: Path) -> None:
    drive(fresh)
    assert "up to date" in run_in(fresh, "dvc", "repro")


def test_only_what_is_stale_is_run(project: Path) -> None:
    shutil.rmtree(project / "reports/evaluation")
    states = drive(project)
    assert {name for name, state in states.items() if state != "Cached"} == {"evaluate"}


def test_a_stage_that_dvc_has_in_its_run_cache_is_shown_as_restored(project: Path) -> None:
    change(project, "other rows\n")
    drive(project)
    change(project, "rows\n")
    assert drive(project)["validate"] == "Restored"


def test_a_failing_stage_shows_its_own_error_and_stops_what_follows(project: Path) -> None:
    change(project, "bad rows\n")
    with pytest.raises(StageError) as failure:
        drive(project, "failing")
    message = "error: validate: the batch is stopped\n  labels: one, at least two are needed"
    assert str(failure.value) == message
    assert recorded("failing") == {
        "raw.txt.dvc": "Completed",
        "ingest": "Completed",
        "validate": "Failed",
    }


def test_a_stage_that_crashes_shows_the_end_of_its_output(project: Path) -> None:
    (project / "stages.py").write_text("print('about to crash')\nraise KeyError('nothing here')")
    change(project, "other rows\n")
    with pytest.raises(StageError, match=r"KeyError: 'nothing here'"):
        drive(project)


def test_a_stage_of_another_map_is_run_where_the_graph_has_it(project: Path) -> None:
    (project / "prep").mkdir()
    (project / "prep/dvc.yaml").write_text("stages: {clean: {cmd: echo ok > clean.txt, outs: [clean.txt]}}\n")
    path = project / "dvc.yaml"
    path.write_text(path.read_text().replace("deps: [raw.txt]", "deps: [raw.txt, prep/clean.txt]"))
    states = drive(project)
    assert states["prep/dvc.yaml:clean"] == states["ingest"] == "Completed"


def test_a_project_is_driven_from_wherever_the_process_stands(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(project, "other rows\n")
    monkeypatch.chdir(tmp_path)
    assert drive(project)["ingest"] == "Completed"


def test_a_dvc_that_was_killed_while_it_wrote_its_locks_is_one_clear_error(project: Path) -> None:
    (project / ".dvc/tmp/rwlock").write_text("")
    with pytest.raises(StageError, match=r"^Unable to read RWLock-file .*; run: rm \.dvc/tmp/rwlock$"):
        drive(project)


def test_a_broken_map_is_one_clear_error(project: Path) -> None:
    (project / "dvc.yaml").write_text("stages: [")
    with pytest.raises(StageError, match=r"dvc\.yaml"):
        drive(project)


def test_the_output_of_a_stage_is_in_the_log_of_its_run(
    fresh: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        drive(fresh)
    records = [record for record in caplog.records if record.getMessage() == "epoch 1 of 3"]
    assert [getattr(record, "task_run_name", None) for record in records] == ["finetune"]


def test_of_a_progress_bar_only_the_end_is_logged(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    (project / "stages.py").write_text(r"print('10%\r50%\r100%\n\nbad end'); raise SystemExit(1)")
    change(project, "other rows\n")
    with caplog.at_level(logging.INFO), pytest.raises(StageError):
        drive(project)
    lines = [record.getMessage() for record in caplog.records]
    assert "100%" in lines
    assert not any("50%" in line or line == "" for line in lines)


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_no_process_of_a_stage_outlives_an_interrupted_flow(project: Path, ending: signal.Signals) -> None:
    stage = "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(300)"
    (project / "stages.py").write_text(stage)
    change(project, "other rows\n")
    program = (
        "from pathlib import Path; from prefect import flow; from flows.bridge import run_pipeline\n"
        "flow(name='drive')(lambda: run_pipeline(Path.cwd()) and None)()"
    )
    driver = subprocess.Popen([sys.executable, "-c", program], cwd=project, env=_environment())
    try:
        wait_for(lambda: (project / "pid").exists() and (project / "pid").read_text() != "", 120)
        pid = int((project / "pid").read_text())
        driver.send_signal(ending)
        driver.wait(timeout=60)
        wait_for(lambda: not is_running(pid), 10)
        with Repo(str(project)) as repo, repo.lock:  # and DVC's locks are free: this would raise
            assert any(stage.changed() for stage in repo.index.stages)
    finally:
        driver.kill()
        driver.wait()


def _environment() -> dict[str, str]:
    return os.environ | {"PREFECT_API_URL": str(PREFECT_API_URL.value()), "PYTHONPATH": str(REPOSITORY)}


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)
