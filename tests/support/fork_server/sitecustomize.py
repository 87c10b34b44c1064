"""Have a command of a test run in a fork of the fork server (`server.py`), which has imported its libraries.

Python imports this module when it starts, if a test has put this folder on PYTHONPATH. The process stays: it
passes signals on, and ends as the fork ends.
"""

import json
import os
import signal
import socket
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn


def run_in_fork(address: str) -> NoReturn:
    """Have the server at `address` run the command of this process, and end with its exit status."""
    request = json.dumps([os.getpid(), str(Path.cwd()), dict(os.environ), sys.orig_argv]).encode()
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(address)
        socket.send_fds(server, [len(request).to_bytes(8, "big")], [0, 1, 2])
        server.sendall(request)

        def pass_on(number: int, _: FrameType | None) -> None:
            server.send(bytes([number]))

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, pass_on)
        answer = server.recv(4)
    if not answer:
        sys.exit("the fork server is gone")
    status = int.from_bytes(answer, "big", signed=True)
    if status < 0:
        if -status != signal.SIGKILL:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


if "FORK_SERVER" in os.environ:
    match sys.orig_argv:
        case [_, "-m", module, *_] if module.partition(".")[0] in ("bertline", "pytest", "tests"):
            run_in_fork(os.environ["FORK_SERVER"])
        case [_, script, *_] if Path(script).name in ("bertline", "dvc"):
            run_in_fork(os.environ["FORK_SERVER"])
