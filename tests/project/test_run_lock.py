import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bertline.project.run_lock import only_run

HOLD = (
    "import sys, time; from pathlib import Path; from bertline.project.run_lock import only_run\n"
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
    assert str(refusal.value).endswith(f"stop it with: kill {other_run.pid}")


def test_a_run_that_was_killed_leaves_no_lock(project: Path, other_run: subprocess.Popen[bytes]) -> None:
    other_run.send_signal(signal.SIGKILL)
    other_run.wait()
    with only_run(project):
        pass


def test_the_lock_may_be_nested(project: Path) -> None:
    with only_run(project) as outer, only_run(project) as inner:
        assert (outer, inner) == (True, False)


def test_a_run_that_waits_says_so_and_goes_on_when_the_other_one_has_ended(
    project: Path, other_run: subprocess.Popen[bytes]
) -> None:
    said: list[str] = []

    def end_the_other(line: str) -> None:
        said.append(line)
        other_run.kill()

    with only_run(project, wait=300, say=end_the_other):
        pass
    (line,) = said
    assert f"(process {other_run.pid}) is running" in line
    assert line.endswith("; waiting for it, for 300 seconds at most")


def test_a_run_that_has_waited_in_vain_is_refused(project: Path, other_run: subprocess.Popen[bytes]) -> None:
    with pytest.raises(ValueError, match=f"kill {other_run.pid}"), only_run(project, wait=0.1):
        pass
