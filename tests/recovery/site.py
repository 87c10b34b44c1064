"""A toy project whose training takes ten seconds and continues after a kill, on a real server and worker."""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil

from tests.support.prefect_server import start_server
from tests.support.services import Service, Services, free_port
from tests.support.toy_project import REPOSITORY, add_flows, own, run_in

STEPS = 20
NAME = "recovery"
CRASHED_SECONDS = 100.0  # the bar: a run whose process is gone is Crashed after these

# What `finetune` of the toy project does first: a training of steps, each with a crash checkpoint.
TRAINING = f"""
import hashlib, json, os, sys, time
from pathlib import Path
if sys.argv[1] == "finetune":
    key = hashlib.sha256(Path("data/ingested/rows.txt").read_bytes()).hexdigest()
    checkpoint = Path(".bertline/toy") / key
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    step, value = json.loads(checkpoint.read_text()) if checkpoint.exists() else (0, key)
    Path("models/candidate").mkdir(parents=True, exist_ok=True)
    while step < {STEPS}:
        time.sleep(float(os.environ.get("TOY_SECONDS", "0.5")))
        step, value = step + 1, hashlib.sha256(value.encode()).hexdigest()
        print("step", step, flush=True)
        Path("models/candidate/weights.txt").write_text(value[: step + 1])
        checkpoint.with_suffix(".new").write_text(json.dumps([step, value]))
        checkpoint.with_suffix(".new").replace(checkpoint)
        with open(".bertline/toy/steps.txt", "a") as log:
            print(key, step, file=log)
"""
# What a client of a server that was killed reports, and what Prefect reports of a process that was.
_GONE = re.compile(
    "ConnectError|Connect call failed|ReadError|RemoteProtocolError|ConnectionRefused|Crash|WebSocket"
    "|ConnectionClosedError"
    r"|'finetune' - Finished in state Failed\('finetune (?:crashed|ended, because)"
)


class Site:
    """The project, its server and its worker; each can be killed and started again."""

    def __init__(self, template: Path, folder: Path, services: Services) -> None:
        self._services, self._home, self._port = services, folder / "prefect", free_port()
        self.root = own(template, folder)
        stages = self.root / "stages.py"
        stages.write_text(TRAINING + stages.read_text())
        graph = self.root / "dvc.yaml"  # new rows must be new to the training, too
        graph.write_text(graph.read_text().replace("[data/validated]", "[data/validated, data/ingested]"))
        text = (REPOSITORY / "prefect.yaml").read_text()
        text = re.sub(r"(?m)^name: .*", f"name: {NAME}", text)
        (self.root / "prefect.yaml").write_text(
            re.sub(r"(?ms)^    schedules:.*?(?=^    concurrency)", "", text)
        )
        add_flows(self.root)
        self.start_server()
        run_in_environment(self.root, self.env, "bertline", "deploy")
        self.worker = self.start_worker()
        self.runs: list[str] = []  # of the current trial
        self._trial = 0

    def start_server(self) -> None:
        """Start the server, at the same port and with the same data as before."""
        self.server, self.env = start_server(self._services, self._home, port=self._port)

    def start_worker(self) -> Service:
        """Start a worker as `make up` does, and return it."""
        command = [*(sys.executable, "-m", "prefect", "worker", "start", "--pool", NAME), "--name", "machine"]
        self.worker = self._services.start(
            "worker", [*command, "--install-policy", "never"], cwd=self.root, env=self.env, tolerated=_GONE
        )
        return self.worker

    def stop(self) -> None:
        """End what a failed trial left, beside the services."""
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def new_data(self) -> bytes:
        """Deliver new rows, and return the `dvc.lock` of a run on them that nobody interrupts.

        Each trial is that of the first model: a toy model cannot be judged against a champion.
        """
        self._trial += 1
        if versions := run_in(self.root, "git", "tag").split():
            run_in(self.root, "git", "tag", "--delete", *versions)
        data = self.root / "raw.txt"
        data.unlink()
        data.write_text(f"rows of trial {self._trial} at {time.time()}\n")
        run_in(self.root, "dvc", "add", "--quiet", "raw.txt")
        run_in(self.root, "git", "commit", "--all", "--quiet", "--message", f"Trial {self._trial}")
        other = self.root.with_name("uninterrupted")
        shutil.copytree(self.root, other, ignore=shutil.ignore_patterns(".bertline"), symlinks=True)
        run_in_environment(other, os.environ | {"TOY_SECONDS": "0"}, "dvc", "repro", "--quiet")
        expected = (other / "dvc.lock").read_bytes()
        shutil.rmtree(other)
        return expected

    def steps(self) -> list[int]:
        """Return the steps of the training on the newest rows, by whichever run."""
        path = self.root / ".bertline/toy/steps.txt"
        newest = hashlib.sha256((self.root / "raw.txt").read_bytes()).hexdigest()
        lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
        return [int(step) for key, step in lines if key == newest]

    def start_run(self) -> str:
        """Ask for a run of the deployment, and return its id."""
        (deployment,) = self.post("deployments/filter", {})
        once = {"idempotency_key": str(uuid4())}  # a server that says 503 may have made it all the same
        run: dict[str, Any] = self.post(f"deployments/{deployment['id']}/create_flow_run", once)
        return str(run["id"])

    def cancel(self, run: str) -> None:
        """Cancel a run on the command line."""
        run_in_environment(self.root, self.env, sys.executable, "-m", "prefect", "flow-run", "cancel", run)

    def state(self, run: str) -> dict[str, Any]:
        """Return the state of a run."""
        url = f"{self.env['PREFECT_API_URL']}/flow_runs/{run}"
        answer = httpx.get(url, trust_env=False, timeout=60).raise_for_status()
        state: dict[str, Any] = answer.json()["state"]
        return state

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Send a request to the server and return its answer."""
        url = f"{self.env['PREFECT_API_URL']}/{path}"
        while True:
            answer = httpx.post(url, json=body, trust_env=False, timeout=60)
            if (
                answer.status_code != httpx.codes.SERVICE_UNAVAILABLE
            ):  # SQLite is busy: ask again, as Prefect does
                return answer.raise_for_status().json()
            time.sleep(0.5)

    def processes(self) -> list[psutil.Process]:
        """Return the processes of runs in the project, without the worker."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                inside = Path(process.cwd()) == self.root and process.status() != psutil.STATUS_ZOMBIE
                if inside and process.pid != self.worker.process.pid:
                    found.append(process)
        return found

    def find(self, command: str) -> psutil.Process:
        """Return the one process of a run whose command line has `command`."""
        found = [each for each in self.processes() if command in " ".join(each.cmdline())]
        assert found, f"no process is {command}"
        return found[-1]  # a shell may stand before it

    def flow(self) -> list[psutil.Process]:
        """Return the processes of the run itself, with none of its stages."""
        names = ("stages.py", "bertline.project.reproduce")
        return [
            each for each in self.processes() if not any(name in " ".join(each.cmdline()) for name in names)
        ]

    def kill_server(self) -> None:
        """Kill the server, and what it has started."""
        kill_group(self.server)

    def kill_worker(self) -> None:
        """Kill the worker alone."""
        self.worker.process.kill()
        self.worker.process.wait()


def kill_group(service: Service) -> None:
    os.killpg(service.process.pid, signal.SIGKILL)
    service.process.wait()


def wait_for(what: str, ready: Callable[[], object], seconds: float) -> float:
    """Wait until `ready` is true, and return the seconds that it took; fail after `seconds`."""
    began = time.monotonic()
    while not ready():
        assert time.monotonic() - began < seconds, f"waited {seconds:.0f} s in vain: {what}"
        time.sleep(0.2)
    return time.monotonic() - began


def run_in_environment(folder: Path, env: Mapping[str, str], *command: str) -> None:
    """Run a command in `folder`; fail with what it printed."""
    ended = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
