import subprocess
import sys

HANG = """
import threading
from flows.retraining.time_limit import time_limit
def hang_in_download():
    with time_limit(0.5):
        threading.Event().wait({seconds})
    print("went on")
thread = threading.Thread(target=hang_in_download)
thread.start()
thread.join()
"""


def run(seconds: float) -> subprocess.CompletedProcess[str]:
    script = HANG.format(seconds=seconds)
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )


def test_what_hangs_ends_the_process_with_the_stack_of_each_thread() -> None:
    done = run(30)
    assert done.returncode == 1
    assert "hang_in_download" in done.stderr
    assert "went on" not in done.stdout


def test_what_ends_in_time_goes_on() -> None:
    done = run(0)
    assert (done.returncode, done.stdout, done.stderr) == (0, "went on\n", "")
