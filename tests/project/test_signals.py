import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

PROGRAM = """
import os, signal, sys, time
from bertline.project.signals import interrupt_on_signals
interrupt_on_signals()
try:
    os.kill(os.getpid(), int(sys.argv[1]))
    time.sleep(0.2)
except KeyboardInterrupt:
    sys.exit(7)
"""


def status_after(number: signal.Signals, before: Callable[[], object] | None = None) -> int:
    command = [sys.executable, "-c", PROGRAM, str(int(number))]
    return subprocess.run(command, preexec_fn=before, check=False).returncode


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_ends_a_process_is_handled_like_ctrl_c(number: signal.Signals) -> None:
    # As from a terminal: whoever runs the tests may ignore some of them, as nohup does.
    assert status_after(number, lambda: signal.signal(number, signal.SIG_DFL)) == 7


def test_under_nohup_a_closed_terminal_ends_nothing() -> None:
    assert status_after(signal.SIGHUP, lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)) == 0


def test_a_background_job_of_a_script_can_be_interrupted() -> None:
    assert status_after(signal.SIGINT, lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)) == 7
