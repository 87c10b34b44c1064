import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bertline.project.dvc_locks import mend_rwlock, wait_for_dvc
from tests.support.tiny import is_running
from tests.support.toy_project import run_in

SLEEPER = [sys.executable, "-c", "import time; time.sleep(300)", "repro"]


def write_list(root: Path, pid: int, cmd: str, *, age: float = 0.0) -> Path:
    """Write DVC's list as one that a process wrote `age` seconds ago, while it ran a stage."""
    entry = {"pid": pid, "cmd": cmd}
    path = root / ".dvc/tmp/rwlock"
    path.write_text(
        json.dumps({"write": {"models/candidate": entry}, "read": {"data": [entry], "raw.txt": [entry]}})
    )
    moment = time.time() - age
    os.utime(path, (moment, moment))
    return path


def entries(path: Path) -> Any:
    return json.loads(path.read_text())


@pytest.fixture
def live() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(SLEEPER)
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def dead(live: subprocess.Popen[bytes]) -> int:
    live.kill()
    live.wait()
    return live.pid


def test_what_a_dead_process_left_is_removed(project: Path, dead: int) -> None:
    path = write_list(project, dead, "dvc repro")
    assert mend_rwlock(project) == [f"removed DVC's lock of process {dead}, which is gone (dvc repro)"]
    assert entries(path) == {"write": {}, "read": {}}


def test_so_is_that_of_a_process_whose_id_another_program_has_now(
    project: Path, live: subprocess.Popen[bytes]
) -> None:
    write_list(project, live.pid, "/venv/bin/dvc exp run")
    assert len(mend_rwlock(project)) == 1


def test_so_is_that_of_a_process_whose_id_the_same_program_has_again(
    project: Path, live: subprocess.Popen[bytes]
) -> None:
    write_list(project, live.pid, "/venv/bin/dvc repro", age=60)
    assert len(mend_rwlock(project)) == 1


def test_so_is_that_of_this_process_which_has_just_started(project: Path) -> None:
    write_list(project, os.getpid(), " ".join(sys.argv))
    assert len(mend_rwlock(project)) == 1


def test_what_a_live_process_has_written_stays(project: Path, live: subprocess.Popen[bytes]) -> None:
    path = write_list(project, live.pid, "/venv/bin/dvc repro")
    before = path.read_bytes()
    assert mend_rwlock(project) == []
    assert path.read_bytes() == before


@pytest.mark.parametrize("half", ["", '{"write": {"models/cand', '{"write": []}'])
def test_a_list_that_was_half_written_is_removed(project: Path, half: str) -> None:
    path = project / ".dvc/tmp/rwlock"
    path.write_text(half)
    assert mend_rwlock(project) == ["removed .dvc/tmp/rwlock, which a killed DVC left half-written"]
    assert "up to date" in run_in(project, "dvc", "repro")


@pytest.fixture
def by_hand(project: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A `dvc repro` by hand that is in the midst of a stage, until the file `go` is there."""
    stage = "import os, time\nprint('began', flush=True)\nwhile not os.path.exists('go'): time.sleep(0.1)"
    (project / "stages.py").write_text(stage)
    (project / "raw.txt").unlink()
    (project / "raw.txt").write_text("other rows\n")
    process = subprocess.Popen(["dvc", "repro", "ingest"], cwd=project, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert any(line == b"began\n" for line in process.stdout)
    yield process
    (project / "go").touch()
    process.communicate(timeout=60)


def test_a_dvc_repro_by_hand_is_respected(project: Path, by_hand: subprocess.Popen[bytes]) -> None:
    assert mend_rwlock(project) == []
    with pytest.raises(ValueError, match=rf"^DVC \(process {by_hand.pid}: .*dvc repro ingest\) is at work"):
        wait_for_dvc(project)
    assert is_running(by_hand.pid)


def test_a_dvc_repro_by_hand_is_waited_for(project: Path, by_hand: subprocess.Popen[bytes]) -> None:
    said: list[str] = []

    def let_it_end(line: str) -> None:
        said.append(line)
        (project / "go").touch()

    wait_for_dvc(project, wait=120, say=let_it_end)
    (line,) = said
    assert line.endswith("waiting for it, for 120 seconds at most")


def test_a_lock_file_of_the_project_without_a_process_stops_nobody(project: Path, dead: int) -> None:
    (project / ".dvc/tmp/lock").write_text(f" {dead}\n")
    wait_for_dvc(project)
