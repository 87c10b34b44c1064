import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bertline.promotion.exclusive import only_run

HOLD = (
    "import sys, time; from pathlib import Path; from bertline.promotion.exclusive import only_run\n"
    "with only_run(Path.cwd()): print('held', flush=True); time.sleep(300)"
)


@pytest.fixture
def other_run(project: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", HOLD], cwd=project, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_run_is_refused_with_the_process_of_the_first(
    project: Path, other_run: subprocess.Popen[bytes]
) -> None:
    with (
        pytest.raises(
            ValueError, match=f"another retraining or promotion .process {other_run.pid}"
        ) as refusal,
        only_run(project),
    ):
        pass
    assert f"kill -INT {other_run.pid}" in str(refusal.value)


def test_a_run_that_was_killed_leaves_no_lock(project: Path, other_run: subprocess.Popen[bytes]) -> None:
    other_run.send_signal(signal.SIGKILL)
    other_run.wait()
    with only_run(project):
        pass


def test_the_lock_may_be_nested(project: Path) -> None:
    with only_run(project), only_run(project):
        pass
