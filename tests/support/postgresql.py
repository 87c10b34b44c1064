"""A real PostgreSQL on loopback, for all tests of a session that ask for one."""

import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.services import Services, answers, free_port

PASSWORD = "hunter2/s3kr:t"  # noqa: S105 - of the PostgreSQL that tests start
ENCODED = "hunter2%2Fs3kr%3At"
"""The password as a URL has it."""

_TROUBLE = re.compile(r"PANIC|terminated by signal")  # tests send wrong queries, which are ERRORs, on purpose


@pytest.fixture(scope="session")
def postgres(shared_services: Services) -> Iterator[int]:
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
    init += ["--auth=scram-sha-256", f"--pwfile={password}"]
    subprocess.run([*command, *init], check=True, cwd="/", capture_output=True)
    port = free_port()
    settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": str(folder), "fsync": "off"}
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    server = shared_services.start(
        "postgresql",
        [*command, "postgres", "-D", f"{folder}/data", "-p", str(port), *options],
        cwd="/",
        trouble=_TROUBLE,
        ends_at=signal.SIGINT,  # at a SIGTERM it waits for its clients
    )
    server.wait_until(lambda: answers(port))
    yield port
    server.stop()
    shutil.rmtree(folder)
