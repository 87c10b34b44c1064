"""A process that has imported what commands import from others, and forks for each one that a test runs.

Started anew, a stage imports for 3 to 10 seconds of a core, and DVC for one. A fork has the folder,
environment, arguments, streams and parent of the process that asked for it (`sitecustomize.py`), gets its
signals, and is killed with it. It is not in its process group. The code of the project is imported in the
fork, since a test runs that of its own copy.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NoReturn

os.environ["GOMP_SPINCOUNT"] = "3000"  # as bertline sets it: torch reads it when it loads
LIBRARIES = (
    "torch.nn.attention.varlen",
    "torch.distributed.run",
    "transformers.models.auto.modeling_auto",
    "transformers.models.bert.modeling_bert",
    "cleanlab",
    "duckdb",
    "dvc.cli.parser",
    "dvc.repo",
    "evaluate",
    "great_expectations.expectations",
    "matplotlib.figure",
    "networkx",
    "pyarrow.dataset",
    "pydantic.dataclasses",
    "rensa",
    "sklearn.feature_extraction.text",
    "sklearn.linear_model",
    "typer",
)
_FOLDERS = sys.path[1:]


def serve(address: str) -> None:
    """Answer requests until stdin ends, as it does with the process that started this one."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        if _is_asked(listener):
            for library in LIBRARIES:
                importlib.import_module(library)
            gc.freeze()  # forks share what is not touched
        while _is_asked(listener):
            client, _ = listener.accept()
            with client:
                if os.fork() == 0:
                    listener.close()
                    _attend(client)
                    return
            _reap()
    _reap()


def _is_asked(listener: socket.socket) -> bool:
    """Wait for a request, or for the end of stdin."""
    return sys.stdin not in select.select([listener, sys.stdin], [], [])[0]


def _reap() -> None:
    """Ask the forks that have ended for their status, or they would stay as zombies."""
    with suppress(ChildProcessError):  # there is none
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _attend(client: socket.socket) -> None:
    """Fork for a command, and tell `client` how it ended; in the fork, run the command."""
    size, streams, _, _ = socket.recv_fds(client, 8, 3)
    request = client.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL)
    fork = os.fork()
    if fork == 0:
        client.close()
        _run(streams, *json.loads(request))
        return
    for stream in streams:
        os.close(stream)
    ended = os.pidfd_open(fork)
    while ended not in select.select([client, ended], [], [])[0]:
        number = client.recv(1)
        os.kill(fork, number[0] if number else signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1])
    with suppress(BrokenPipeError):
        client.sendall(status.to_bytes(4, "big", signed=True))
    os._exit(0)


def _run(
    streams: list[int], asking: int, folder: str, environment: dict[str, str], command: list[str]
) -> None:
    """Run the command of the process `asking`: python, then a module or a script, and arguments."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    if environment.get("PYTHONUNBUFFERED"):
        for text in (sys.stdout, sys.stderr):
            text.reconfigure(write_through=True)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:] = [folder, *environment["PYTHONPATH"].split(os.pathsep), *_FOLDERS]
    os.getppid = partial(_parent, asking)  # a training ends when its launcher is no more its parent
    sys.orig_argv = command
    try:
        match command:
            case [_, "-m", module, *arguments]:
                sys.argv[1:] = arguments
                runpy.run_module(module, run_name="__main__", alter_sys=True)
            case [_, script, *_]:
                sys.argv = command[1:]
                runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        _end(end.code)
    _end(None)


def _parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def _end(code: object) -> NoReturn:
    """End as `sys.exit(code)` does, but for taking all modules apart, which takes a second."""
    if not isinstance(code, int | None):
        sys.stderr.write(f"{code}\n")
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


if __name__ == "__main__":
    serve(sys.argv[1])
    _end(None)
