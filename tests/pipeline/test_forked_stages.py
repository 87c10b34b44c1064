"""The other tests here run stages in forks: such a stage is like one in a process of its own."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.forked_stages import Environment
from tests.support.waiting import wait_until_ended

STAGE = """
import os, sys, time
print(os.getpid(), os.getcwd(), sys.argv[1:], os.environ["WORD"], sys.stdin.readline(), end="", flush=True)
try:
    print("torch" in sys.modules, flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    sys.exit("interrupted")
"""


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="stages run in forks on Linux only")
@pytest.mark.parametrize(
    ("number", "status", "errors"),
    [(signal.SIGINT, 1, "interrupted\n"), (signal.SIGTERM, -15, ""), (signal.SIGKILL, -9, "")],
)
def test_a_stage_in_a_fork_has_what_it_was_given_and_ends_as_it_is_told(
    number: signal.Signals, status: int, errors: str, forked_stages: Environment, tmp_path: Path
) -> None:
    stages = tmp_path / "src/bertline/stages"
    stages.mkdir(parents=True)
    (stages / "probe.py").write_text(STAGE)
    for package in stages, stages.parent:
        (package / "__init__.py").touch()
    stage = subprocess.Popen(
        [sys.executable, "-m", "bertline.stages.probe", "--flag", "value"],
        cwd=tmp_path,
        env=forked_stages(tmp_path) | {"WORD": "word"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert stage.stdin is not None
    assert stage.stdout is not None
    stage.stdin.write("input\n")
    stage.stdin.flush()
    fork, _, given = stage.stdout.readline().partition(" ")
    assert given == f"{tmp_path} ['--flag', 'value'] word input\n"
    assert stage.stdout.readline() == "True\n"  # it has imported torch, and so is a fork
    stage.send_signal(number)
    assert stage.communicate(timeout=60)[1] == errors
    assert stage.returncode == status
    wait_until_ended(int(fork))
