import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bertline.project import processes
from bertline.project.processes import child_process, end_group, output_lines, run_process
from tests.support.waiting import wait_until_ended

STUBBORN = """
import os, signal, subprocess, sys, time
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
print(child.pid, flush=True)
time.sleep(300)
"""


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def test_an_exception_in_the_block_ends_the_child_and_what_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "GRACE_SECONDS", 0.2)
    grandchild = 0
    with pytest.raises(KeyError), child_process(python(STUBBORN), tmp_path) as process:
        assert process.stdout is not None
        grandchild = int(process.stdout.readline())
        raise KeyError
    assert process.returncode == -signal.SIGKILL
    wait_until_ended(grandchild)


def test_a_child_gets_sigint_before_any_other_signal(tmp_path: Path) -> None:
    program = (
        "try: import time; print('ready', flush=True); time.sleep(300)\nexcept KeyboardInterrupt: exit(7)"
    )
    with pytest.raises(KeyError), child_process(python(program), tmp_path) as process:
        assert process.stdout is not None
        process.stdout.readline()
        raise KeyError
    assert process.returncode == 7


def test_a_child_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    assert run_process(python("import time; time.sleep(300)"), tmp_path, seconds=0.5) is None


def test_a_child_that_fails_has_no_output(tmp_path: Path) -> None:
    assert run_process(python("print('half'); exit(1)"), tmp_path, seconds=60) is None


def test_the_output_of_a_child_is_returned(tmp_path: Path) -> None:
    assert run_process(python("print('whole')"), tmp_path, seconds=60) == "whole\n"


def test_a_child_finds_the_commands_of_the_virtual_environment_first(tmp_path: Path) -> None:
    found = run_process(python("import shutil; print(shutil.which('dvc'))"), tmp_path, seconds=60)
    assert found == f"{Path(sys.executable).parent / 'dvc'}\n"


def test_a_child_has_no_terminal_to_ask_on(tmp_path: Path) -> None:
    program = "import os\ntry: os.open('/dev/tty', os.O_RDWR)\nexcept OSError: print('none')"
    assert run_process(python(program), tmp_path, seconds=60) == "none\n"


def test_the_lines_of_a_child_come_without_the_states_of_its_progress_bars(tmp_path: Path) -> None:
    with child_process(python(r"print('10%\r100%\n\nend')"), tmp_path) as process:
        assert list(output_lines(process)) == ["100%", "end"]


def test_a_group_that_is_not_our_child_is_ended_by_the_id_of_its_leader(tmp_path: Path) -> None:
    program = (
        "import subprocess, sys\n"
        "sleeper = [sys.executable, '-c', 'import time; time.sleep(300)']\n"
        "print(subprocess.Popen(sleeper, start_new_session=True, stdout=-3, stderr=-3).pid)"
    )
    leader = int(subprocess.run(python(program), capture_output=True, check=True).stdout)
    end_group(leader)
    wait_until_ended(leader)


def test_a_child_that_is_killed_takes_what_it_started_with_it_and_its_output_ends(tmp_path: Path) -> None:
    program = (
        "import subprocess, sys, time\n"
        "sleep = 'import os, time; print(os.getpid(), flush=True); time.sleep(300)'\n"
        "subprocess.Popen([sys.executable, '-c', sleep]); time.sleep(300)"
    )
    with child_process(python(program), tmp_path) as process:
        lines = output_lines(process)
        grandchild = int(next(lines))
        process.kill()
        assert list(lines)[-1] == "KeyboardInterrupt"
    assert process.returncode == -signal.SIGKILL
    wait_until_ended(grandchild)


def test_a_child_that_takes_longer_than_its_limit_is_ended_and_its_block_says_so(tmp_path: Path) -> None:
    with (
        pytest.raises(subprocess.TimeoutExpired),
        child_process(python("import time; time.sleep(300)"), tmp_path, seconds=0.2) as process,
    ):
        assert list(output_lines(process))[-1] == "KeyboardInterrupt"
    assert process.returncode is not None
