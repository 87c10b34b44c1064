"""A Prefect server for one `make run`: `start_server` starts this module as a child process.

Guarantees:

- The server ends with the process that started it, even after `kill -9`: it watches a pipe between the two.
- Ctrl-C of the terminal does not reach it, so that Prefect can still report how the flow ended.
- A server that cannot start is one error, as soon as it has ended; .bertline/prefect-server.log has the rest.

Does not serve Prefect's pages and starts no scheduled runs: `make up` does.
"""

import atexit
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO

LOG = Path(".bertline", "prefect-server.log")
_STOP_SECONDS = 10.0


def start_server(root: Path, *, seconds: float) -> str:
    """Start a server for the rest of this process and return the URL of its API.

    Raises:
        ValueError: it ended at its start, or does not answer within `seconds`.
    """
    (root / LOG).parent.mkdir(exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as listening, (root / LOG).open("wb") as log:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/api"
        process = _start_process(listening.fileno(), log)
    atexit.register(_stop, process)  # before Prefect registers its last reports, which therefore go first
    try:
        _wait_until_healthy(process, url, root / LOG, seconds)
    except BaseException:
        _stop(process)
        raise
    return url


def _start_process(listening: int, log: IO[bytes]) -> subprocess.Popen[bytes]:
    folders = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen(
        [sys.executable, "-m", "flows.server", str(listening)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(folders), "PREFECT_UI_ENABLED": "false"},
        pass_fds=[listening],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )


def _wait_until_healthy(process: subprocess.Popen[bytes], url: str, log: Path, seconds: float) -> None:
    import httpx

    deadline = time.monotonic() + seconds
    with httpx.Client(trust_env=False, timeout=5) as client:
        while process.poll() is None:
            try:
                if client.get(f"{url}/health").status_code == httpx.codes.OK:
                    return
            except httpx.TransportError:  # it does not answer yet
                pass
            if time.monotonic() > deadline:
                raise ValueError(
                    f"Prefect's own server does not answer after {seconds:.0f} seconds; see {log}, "
                    "or give it more time: startup_timeout_seconds in prefect.toml"
                )
            time.sleep(0.2)
    last = [line for line in log.read_text("utf-8", errors="replace").splitlines() if line.strip()][-1:]
    raise ValueError(f"Prefect's own server ended at its start ({''.join(last).strip()}); see {log}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.close()  # this is what it watches
    try:
        process.wait(timeout=_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _serve(listening: int) -> None:
    """Serve at the socket `listening` until the standard input ends, which is a pipe to the parent."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import uvicorn
    from prefect.server.api.server import create_app

    app = create_app(ephemeral=True, final=True)
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="error", lifespan="on", timeout_graceful_shutdown=3)
    )
    server.run(sockets=[socket.socket(fileno=listening)])
    sys.exit(0 if server.started else 1)


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_STOP_SECONDS / 2)
    os._exit(1)  # it could not end in order, e.g. because it was still starting


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
