"""Real servers on loopback: PostgreSQL, S3 (moto) and HTTP. Each is stopped by its own process id."""

import functools
import http.server
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fetched import PASSWORD


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project's folder; the current folder."""
    root = tmp_path / "project"
    (root / "data/incoming").mkdir(parents=True)
    monkeypatch.chdir(root)
    return root


@pytest.fixture(scope="session")
def postgres() -> Iterator[int]:
    """The port of a PostgreSQL on loopback whose user `owner` needs a password."""
    if shutil.which("initdb") is None or shutil.which("postgres") is None:
        pytest.skip("there is no PostgreSQL here (initdb, postgres)")
    folder = Path(tempfile.mkdtemp(prefix="postgres-", dir="/tmp"))  # a socket's path must be short
    command: list[str] = []
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        os.chown(folder, pwd.getpwnam("nobody").pw_uid, -1)
        command = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    password = folder / "password"
    password.write_text(PASSWORD)
    password.chmod(0o644)
    init = ["initdb", "-D", f"{folder}/data", "-U", "owner", "-E", "UTF8", "--no-sync", "--no-locale"]
    port = free_port()
    options = [
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        f"unix_socket_directories={folder}",
        "-c",
        "fsync=off",
    ]
    with (folder.parent / f"{folder.name}.log").open("w+") as log:
        init += ["--auth=scram-sha-256", f"--pwfile={password}"]
        subprocess.run([*command, *init], check=True, cwd="/", stdout=log, stderr=log)
        server = subprocess.Popen(
            [*command, "postgres", "-D", f"{folder}/data", "-p", str(port), *options],
            cwd="/", stdout=log, stderr=log,
        )  # fmt: skip
        try:
            wait_for_port(port, server)
            yield port
        finally:
            server.send_signal(signal.SIGINT)  # at a SIGTERM it waits for its clients
            server.wait(timeout=30)
            shutil.rmtree(folder)
            Path(log.name).unlink()


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """The URL of a server that speaks S3."""
    command = shutil.which("moto_server")
    if command is None:
        pytest.skip("there is no server that speaks S3 here (moto_server)")
    port = free_port()
    server = subprocess.Popen(
        [command, "-H", "127.0.0.1", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for_port(port, server)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=30)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The URL and the folder of a web server."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", folder
        server.shutdown()


@pytest.fixture
def refusing() -> Iterator[int]:
    """The port of a web server that answers every request with 403."""

    class Refusing(http.server.SimpleHTTPRequestHandler):
        def send_head(self) -> None:  # of GET and HEAD
            self.send_error(403)

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def wait_for_port(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while True:
        assert server.poll() is None, "the server ended"
        assert time.monotonic() < deadline, "the server does not answer"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
