import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from toy_project import REPOSITORY

from flows import preflight

HOLD = (
    "import sys, time; from pathlib import Path; from flows.preflight import only_run\n"
    "with only_run(Path.cwd()): print('held', flush=True); time.sleep(300)"
)


@pytest.fixture
def other_run(project: Path) -> Iterator[subprocess.Popen[bytes]]:
    env = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen([sys.executable, "-c", HOLD], cwd=project, env=env, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_clean_project_passes(project: Path) -> None:
    preflight.check(project)


def test_a_typo_in_the_parameters_is_refused(project: Path) -> None:
    path = project / "params.yaml"
    path.write_text(path.read_text().replace("epochs:", "epoch:"))
    with pytest.raises(ValueError, match=r"unknown key finetune\.epoch"):
        preflight.check(project)


def test_a_second_run_is_refused_with_the_process_of_the_first(
    project: Path, other_run: subprocess.Popen[bytes]
) -> None:
    with pytest.raises(ValueError, match=f"process {other_run.pid}") as refusal, preflight.only_run(project):
        pass
    assert f"kill -INT {other_run.pid}" in str(refusal.value)


def test_a_run_that_was_killed_leaves_no_lock(project: Path, other_run: subprocess.Popen[bytes]) -> None:
    other_run.send_signal(signal.SIGKILL)
    other_run.wait()
    with preflight.only_run(project):
        pass


def test_the_lock_may_be_nested(project: Path) -> None:
    with preflight.only_run(project), preflight.only_run(project):
        pass
