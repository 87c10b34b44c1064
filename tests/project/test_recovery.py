import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bertline.project.recovery import our_turn, recover
from tests.support.tiny import is_running
from tests.support.toy_project import run_in
from tests.support.waiting import wait_until_ended

STAGE = "import os, time\nprint(os.getpid(), flush=True); time.sleep(300)"
DRIVER = (
    "from pathlib import Path; from bertline.project.reproduction import Request, reproducing\n"
    "with reproducing(Path.cwd(), Request(['ingest'], single_item=True)) as run:\n"
    "    for event in run.events(): print(event, flush=True) if isinstance(event, str) else None"
)


@pytest.fixture
def run(project: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A process that runs a stage, and the id of the stage's own process."""
    (project / "stages.py").write_text(STAGE)
    (project / "raw.txt").unlink()
    (project / "raw.txt").write_text("other rows\n")
    driver = subprocess.Popen([sys.executable, "-c", DRIVER], cwd=project, stdout=subprocess.PIPE)
    assert driver.stdout is not None
    yield driver, int(driver.stdout.readline())
    driver.send_signal(signal.SIGINT)
    driver.communicate(timeout=60)


def test_a_stage_whose_run_was_killed_is_ended_before_the_next_one_starts(
    project: Path, run: tuple[subprocess.Popen[bytes], int]
) -> None:
    driver, stage = run
    driver.kill()
    driver.wait()
    assert is_running(stage)
    said: list[str] = []
    with our_turn(project, say=said.append):
        wait_until_ended(stage)
    assert said == ["ended what a killed run had left running: python stages.py ingest"]
    assert recover(project) == []


def test_a_stage_whose_run_lives_is_left_alone(
    project: Path, run: tuple[subprocess.Popen[bytes], int]
) -> None:
    _, stage = run
    assert recover(project) == []
    assert is_running(stage)


def test_a_stage_of_another_checkout_is_left_alone(
    project: Path, run: tuple[subprocess.Popen[bytes], int], tmp_path: Path
) -> None:
    driver, stage = run
    driver.kill()
    driver.wait()
    shutil.copytree(project, tmp_path / "other")
    recover(tmp_path / "other")
    assert is_running(stage)
    recover(project)


@pytest.mark.parametrize("half", ["", "schema: '2.0'\nstages:\n  ingest:\n    cmd: 'pyth"])
def test_a_lock_that_was_half_written_is_set_aside_and_the_run_cache_restores_it(
    project: Path, half: str
) -> None:
    lock = project / "dvc.lock"
    whole = lock.read_bytes()
    lock.write_text(half)
    (line,) = recover(project)
    assert line == "moved dvc.lock, which DVC could not read, to .bertline/dvc.lock.broken"
    (project / "stages.py").write_text("raise SystemExit('nothing is computed again')")
    run_in(project, "dvc", "repro")
    assert lock.read_bytes() == whole
