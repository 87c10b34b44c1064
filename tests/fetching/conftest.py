"""Real servers on loopback: S3 (moto) and HTTP; tests/support/postgresql.py has PostgreSQL."""

import functools
import http.server
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.services import Services, answers, free_port


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project's folder; the current folder."""
    root = tmp_path / "project"
    (root / "data/incoming").mkdir(parents=True)
    monkeypatch.chdir(root)
    return root


@pytest.fixture(scope="session")
def s3(shared_services: Services) -> str:
    """The URL of a server that speaks S3."""
    command = shutil.which("moto_server")
    if command is None:
        pytest.skip("there is no server that speaks S3 here (moto_server)")
    port = free_port()
    server = shared_services.start("s3", [command, "-H", "127.0.0.1", "-p", str(port)], cwd="/")
    server.wait_until(lambda: answers(port))
    return f"http://127.0.0.1:{port}"


@pytest.fixture(autouse=True)
def _clean_logs(clean_logs: None) -> None:
    """A test during which one of the servers logs an error fails."""


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
