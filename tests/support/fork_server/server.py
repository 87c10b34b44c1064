"""A process that has imported what the stages import from others, and forks for each stage that a test runs.

Started anew, a stage imports for 3 to 10 seconds of a core. A fork has the folder, environment, arguments and
streams of the process that asked for it (`sitecustomize.py`), gets its signals, and is killed with it. The
code of the project is imported in the fork, since a test runs that of its own copy.
"""

import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
from contextlib import suppress

os.environ["GOMP_SPINCOUNT"] = "3000"  # as bertline sets it: torch reads it when it loads
LIBRARIES = (
    "torch",
    "transformers.models.auto.modeling_auto",
    "transformers.models.bert.modeling_bert",
    "pyarrow.dataset",
    "sklearn.feature_extraction.text",
    "sklearn.linear_model",
    "evaluate",
    "matplotlib.figure",
    "great_expectations.expectations",
)
_FOLDERS = sys.path[1:]


def serve(address: str) -> None:
    """Answer requests until stdin ends, as it does with the process that started this one."""
    for library in LIBRARIES:
        importlib.import_module(library)
    gc.freeze()  # forks share what is not touched
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
            client, _ = listener.accept()
            with client:
                if os.fork() == 0:
                    listener.close()
                    _attend(client)
                    return
            _reap()
    _reap()


def _reap() -> None:
    """Ask the forks that have ended for their status, or they would stay as zombies."""
    with suppress(ChildProcessError):  # there is none
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _attend(client: socket.socket) -> None:
    """Fork for a stage, and tell `client` how it ended; in the fork, run the stage."""
    size, streams, _, _ = socket.recv_fds(client, 8, 3)
    request = client.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL)
    stage = os.fork()
    if stage == 0:
        client.close()
        _run(streams, *json.loads(request))
        return
    for stream in streams:
        os.close(stream)
    ended = os.pidfd_open(stage)
    while ended not in select.select([client, ended], [], [])[0]:
        number = client.recv(1)
        os.kill(stage, number[0] if number else signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(stage, 0)[1])
    with suppress(BrokenPipeError):
        client.sendall(status.to_bytes(4, "big", signed=True))
    os._exit(0)


def _run(
    streams: list[int], folder: str, environment: dict[str, str], module: str, arguments: list[str]
) -> None:
    """Do as `python -m MODULE ARGUMENTS` in `folder`."""
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
    sys.argv[1:] = arguments
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    serve(sys.argv[1])
