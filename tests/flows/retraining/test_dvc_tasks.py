import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from dvc.repo import Repo
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName
from prefect.settings import PREFECT_API_URL

from bertline.project.reproduction import StageError
from flows.retraining.dvc_tasks import run_pipeline
from tests.support.tiny import is_running
from tests.support.toy_project import REPOSITORY, STAGES, run_in, set_epochs, set_flow
from tests.support.waiting import wait_until, when_logged

SLOW = "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(300)"
EDITED_STAGE = """
import sys
from pathlib import Path
from bertline.core.stage_command import checking, run

def finetune() -> None:
    params = Path("params.yaml")
    params.write_text(params.read_text().replace("learning_rate: 1e-4", "learning_rate: 2e-4"))

if sys.argv.pop(1) == "finetune":
    with checking() as params_check:
        run(finetune, params_check)
"""
ORDER = ["raw.txt.dvc", "ingest", "validate", "finetune", "evaluate"]


def drive(root: Path, name: str = "run", *, until: str = "", force: bool = False) -> dict[str, str]:
    @flow(name="drive", flow_run_name=name)
    def run() -> dict[str, str]:
        states = run_pipeline(root, until, force=force)
        return {stage: state.name or "" for stage, state in states.items()}

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
    assert {name.partition(" ")[0] for name in recorded("order")} == set(ORDER)


def test_a_second_run_is_cached_and_the_server_shows_it(project: Path) -> None:
    assert set(drive(project, "cached").values()) == {"Cached"}
    assert recorded("cached") == {f"{name} (cached)": "Cached" for name in ORDER}


def test_after_a_flow_dvc_repro_does_nothing(fresh: Path) -> None:
    drive(fresh)
    assert "up to date" in run_in(fresh, "dvc", "repro")


def test_only_the_stages_up_to_a_given_one_are_run_and_again_if_forced(project: Path) -> None:
    before = (project / "dvc.lock").read_bytes()
    states = drive(project, until="ingest", force=True)
    assert states == {"raw.txt.dvc": "Cached", "ingest": "Completed"}
    assert (project / "dvc.lock").read_bytes() == before


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
    message = "validate: the batch is stopped\n  labels: one, at least two are needed"
    assert str(failure.value) == message
    assert recorded("failing") == {
        "raw.txt.dvc": "Completed",
        "ingest": "Completed",
        "validate": "Failed",
    }


def test_a_stage_whose_inputs_are_edited_while_it_runs_fails_and_is_not_recorded(project: Path) -> None:
    (project / "stages.py").write_text(EDITED_STAGE)
    set_epochs(project, 7)
    params = project / "params.yaml"
    params.write_text(re.sub(r"(?m)^  learning_rate: \S+", "  learning_rate: 1e-4", params.read_text()))
    before = (project / "dvc.lock").read_bytes()
    with pytest.raises(StageError) as failure:
        drive(project)
    assert str(failure.value) == "finetune: finetune.learning_rate changed while finetune ran: run again"
    assert (project / "dvc.lock").read_bytes() == before


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


def test_a_stage_that_takes_longer_than_its_limit_is_ended_and_failed(project: Path) -> None:
    set_flow(project, "timeouts", "{ingest: 3}")
    (project / "stages.py").write_text(SLOW)
    change(project, "other rows\n")
    with pytest.raises(StageError, match=r"^ingest ran longer than flow\.timeouts\.ingest \(3 s\); "):
        drive(project, "slow")
    assert recorded("slow")["ingest"] == "Failed"
    assert not is_running(int((project / "pid").read_text()))


def test_a_dvc_that_is_killed_fails_with_that_and_its_stage_ends(project: Path) -> None:
    (project / "stages.py").write_text(SLOW + "; print('working', flush=True); time.sleep(300)")
    change(project, "other rows\n")
    killer = threading.Thread(target=kill_parent_of_stage, args=(project,))
    killer.start()
    with pytest.raises(StageError, match=r"^ingest ended, because DVC was ended by SIGKILL, from outside"):
        drive(project, "killed")
    killer.join()
    assert not is_running(int((project / "pid").read_text()))


def test_a_dvc_repro_by_hand_in_the_midst_of_a_run_is_waited_for(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (project / "stages.py").write_text(
        "import os, sys, time\nfrom pathlib import Path\n"
        "Path('began').touch()\nwhile not os.path.exists('go'): time.sleep(0.1)\n" + STAGES
    )
    change(project, "other rows\n")
    by_hand = subprocess.Popen(["dvc", "repro", "ingest"], cwd=project)
    wait_until((project / "began").exists, 120)
    said = f"DVC (process {by_hand.pid}: "
    with caplog.at_level(logging.INFO):
        when_logged(caplog, said, (project / "go").touch)
        states = drive(project)
    assert by_hand.wait(timeout=60) == 0
    assert states["ingest"] == "Cached"
    assert said in caplog.text


def kill_parent_of_stage(root: Path) -> None:
    """Kill the DVC of the stage that `SLOW` is, which has written its id."""
    wait_until(lambda: (root / "pid").exists() and (root / "pid").read_text() != "", 120)
    os.kill(os.getpgid(int((root / "pid").read_text())), signal.SIGKILL)


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
    (project / "stages.py").write_text(SLOW)
    change(project, "other rows\n")
    program = (
        "from pathlib import Path; from prefect import flow\n"
        "from flows.retraining.dvc_tasks import run_pipeline\n"
        "flow(name='drive')(lambda: run_pipeline(Path.cwd()) and None)()"
    )
    driver = subprocess.Popen([sys.executable, "-c", program], cwd=project, env=_environment())
    try:
        wait_until(lambda: (project / "pid").exists() and (project / "pid").read_text() != "", 120)
        pid = int((project / "pid").read_text())
        driver.send_signal(ending)
        driver.wait(timeout=60)
        wait_until(lambda: not is_running(pid), 10)
        with Repo(str(project)) as repo, repo.lock:  # and DVC's locks are free: this would raise
            assert any(stage.changed() for stage in repo.index.stages)
    finally:
        driver.kill()
        driver.wait()


def _environment() -> dict[str, str]:
    return os.environ | {"PREFECT_API_URL": str(PREFECT_API_URL.value()), "PYTHONPATH": str(REPOSITORY)}
