"""All that a schedule needs, under one supervisor: `make up`, or `bertline up`.

It starts a Prefect server, unless PREFECT_API_URL names one; puts work pool, deployments and automations on
it; then it starts a worker and the report pages. `bertline down` stops all of it, also a run that is going
on: the next run continues its training. Guarantees: one of it per checkout; no process is left.
"""

import argparse
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_SERVER_API_HOST,
    PREFECT_SERVER_API_PORT,
    PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS,
)

from bertline.core.lock import only_one
from bertline.project.deployments import Project
from bertline.project.processes import end_group
from bertline.project.signals import interrupt_on_signals
from bertline.project.supervisor import (
    FOLDER,
    SUPERVISOR_LOG,
    Service,
    Supervisor,
    find_running,
    stop_running,
)
from flows import environment
from flows.connection import one_error, require_answer, require_password, talking_to
from flows.deploy import deploy, process_pools

SERVER = [sys.executable, "-m", "prefect", "server", "start"]
REPORTS_PORT = 4201
_WORKER_GRACE = 60.0  # a stage gets 20 seconds to end, and the flow reports it then


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """Where everything is; `own_server` is where to listen, or None if the server is another's."""

    api: str
    reports_port: int
    own_server: tuple[str, int] | None

    @classmethod
    def read(cls, reports_port: int) -> "Addresses":
        """Take the server from PREFECT_API_URL, else the address that prefect.toml gives our own."""
        if url := PREFECT_API_URL.value():
            return cls(api=str(url), reports_port=reports_port, own_server=None)
        host, port = str(PREFECT_SERVER_API_HOST.value()), int(PREFECT_SERVER_API_PORT.value())
        reached = "127.0.0.1" if host == "0.0.0.0" else host  # noqa: S104 - it is compared, not listened at
        api = f"http://{reached}:{port}/api"
        return cls(api=api, reports_port=reports_port, own_server=(host, port))

    @property
    def shown(self) -> dict[str, str]:
        """What a person opens or enters."""
        return {
            "Prefect": self.api.removesuffix("/api"),
            "reports": f"http://127.0.0.1:{self.reports_port}",
            "PREFECT_API_URL": self.api,
        }

    def require_free(self) -> None:
        """Raise a ValueError that names the port which another process has."""
        if self.own_server:
            _require_free(*self.own_server, "the Prefect server", "PREFECT_SERVER_API_PORT=4210 bertline up")
        _require_free("127.0.0.1", self.reports_port, "report pages", "bertline up --reports-port 4211")


def _require_free(host: str, port: int, what: str, instead: str) -> None:
    try:
        socket.create_server((host, port)).close()
    except OSError as error:
        raise ValueError(
            f"port {port} for {what} cannot be used ({error.strerror}{_owner(port)}); "
            f"stop what uses it, or take another port: {instead}"
        ) from error


def _owner(port: int) -> str:
    """Return which process listens at `port`, as far as this user may know."""
    with suppress(psutil.Error, RuntimeError):
        for each in psutil.net_connections("tcp"):
            if each.status == psutil.CONN_LISTEN and each.laddr.port == port and each.pid:
                return f": process {each.pid}, {psutil.Process(each.pid).name()}"
    return ""


def supervise(root: Path, addresses: Addresses) -> None:
    """Run everything until this process is asked to stop."""
    supervisor = Supervisor(root, addresses.shown, _say)
    try:
        if addresses.own_server:
            server = Service(name="server", command=SERVER)
            supervisor.start(server)
            _wait_for(server, f"{addresses.api}/health", root)
        require_answer(addresses.api)
        with talking_to(addresses.api):
            for line in deploy(root):
                _say(line)
            pools = process_pools(root)
        clients = _clients(root, addresses, pools)
        for service in clients:
            supervisor.start(service)
        _wait_for(clients[0], addresses.shown["reports"], root)
        supervisor.is_ready()
        _say("everything has started")
        supervisor.run_until(lambda: False)
    finally:
        supervisor.stop()


def _clients(root: Path, addresses: Addresses, pools: Sequence[str]) -> list[Service]:
    """Return the report pages first, what watches data/incoming/, and a worker for each of `pools`."""
    port = str(addresses.reports_port)
    pages = Service(name="pages", command=[sys.executable, "-m", "flows.pages", port])
    theirs = {"PREFECT_API_URL": addresses.api, "BERTLINE_REPORTS_URL": addresses.shown["reports"]}
    name = f"{socket.gethostname()}-{root.name}"  # the same one after a restart
    return [
        pages,
        Service(name="watch", command=[sys.executable, "-m", "flows.watch"], environment=theirs),
        *(
            Service(
                name=f"worker-{pool}",
                command=[
                    *(sys.executable, "-m", "prefect", "worker", "start"),
                    *("--pool", pool, "--name", name, "--install-policy", "never"),
                ],
                environment=theirs,
                grace=_WORKER_GRACE,
            )
            for pool in pools
        ),
    ]


def _wait_for(service: Service, url: str, root: Path) -> None:
    """Wait until `service` answers at `url`; ValueError if it ends, or takes too long."""
    assert service.process is not None
    log = root / FOLDER / f"{service.name}.log"
    seconds = PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS.value()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if service.process.poll() is not None:
            raise ValueError(f"{service.name} ended at its start; see {log}")
        with suppress(httpx.TransportError):
            if httpx.get(url, trust_env=False, timeout=5).status_code == httpx.codes.OK:
                return
        time.sleep(0.2)
    raise ValueError(f"{service.name} does not answer after {seconds:.0f} seconds; see {log}")


def _say(line: str) -> None:
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {line}", flush=True)


def _foreground(root: Path, addresses: Addresses) -> None:
    with only_one(root / FOLDER / "up.lock", "everything", root):
        if stop_running(root):
            _say("ended what was left of a supervisor that was killed")
        addresses.require_free()
        supervise(root, addresses)


def _detached(root: Path, arguments: list[str]) -> int:
    """Start a supervisor in the background; return when all has started, or has failed to."""
    log = root / SUPERVISOR_LOG
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.up", "--foreground", *arguments],
            cwd=root,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        while process.poll() is None:
            running = find_running(root)
            if running and running.alive and running.pid == process.pid and running.ready:
                return 0
            time.sleep(0.2)
    except BaseException:
        end_group(process.pid, process, grace=_WORKER_GRACE)
        raise
    errors = [line for line in log.read_text("utf-8").splitlines() if line.startswith("error: ")]
    print(
        "\n".join(errors) or f"error: it ended with status {process.returncode}; see {log}", file=sys.stderr
    )
    return 1


def main() -> int:
    """Start everything, print the addresses and return the exit status."""
    parser = argparse.ArgumentParser(prog="bertline up", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--foreground", action="store_true", help="stay, and stop everything at Ctrl-C or SIGTERM"
    )
    parser.add_argument("--reports-port", type=int, default=REPORTS_PORT, help="default: %(default)s")
    asked = parser.parse_args()
    root = Path.cwd()
    interrupt_on_signals()
    with one_error() as outcome:
        running = find_running(root)
        if running and running.alive:
            raise ValueError(
                f"everything runs already in {root} (process {running.pid}): Prefect at "
                f"{running.addresses['Prefect']}, reports at {running.addresses['reports']}; stop: make down"
            )
        environment.require_usable()
        Project.read(root)
        addresses = Addresses.read(asked.reports_port)
        if addresses.own_server:
            require_password(addresses.own_server[0])
        if asked.foreground:
            _foreground(root, addresses)
        else:
            print("Starting (some 30 seconds) ...", flush=True)
            outcome.status = _detached(root, ["--reports-port", str(asked.reports_port)])
            if outcome.status == 0:
                _print_addresses(addresses)
    return outcome.status


def _print_addresses(addresses: Addresses) -> None:
    for name, address in addresses.shown.items():
        print(f"{name:<17}{address}")
    print(f"{'logs':<17}{FOLDER}\n{'next':<17}bertline doctor; make down")


if __name__ == "__main__":
    sys.exit(main())
