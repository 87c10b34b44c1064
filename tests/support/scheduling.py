"""A schedule that begins in some seconds, and the runs that it starts."""

import re
import shlex
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from tests.support.prefect_server import AUTH
from tests.support.toy_project import REPOSITORY, add_flows

_AHEAD = timedelta(seconds=20)  # where the deployment takes longer, the minute after counts


def documented_commands() -> list[list[str]]:
    """Return what make runs for the commands of the README's block for a schedule, after the setup."""
    block = re.search(r"```sh\n(make up .*?)```", (REPOSITORY / "README.md").read_text(), re.DOTALL)
    assert block
    commands = [line.partition(" #")[0].strip() for line in block[1].splitlines()]
    assert commands == ["make up", "make down"]
    return [_recipe(command.removeprefix("make ")) for command in commands]


def _recipe(target: str) -> list[str]:
    command = ["make", "--no-print-directory", "--dry-run", "--old-file", "setup", target]
    shown = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    program, *arguments = shlex.split(shown.splitlines()[-1])
    return [Path(program).name, *arguments]  # a toy project has no .venv: found on PATH


def schedule(root: Path) -> None:
    """Give the toy project in `root` the flows, and a schedule of every minute that begins soon."""
    text = (REPOSITORY / "prefect.yaml").read_text()
    often = f'interval: 60\n        anchor_date: "{(datetime.now(UTC) + _AHEAD).isoformat()}"'
    text, count = re.subn(r'cron: ".*"', often, text)
    assert count == 1
    (root / "prefect.yaml").write_text(text)
    add_flows(root)


def post(url: str, body: dict[str, Any]) -> Any:
    answer = httpx.post(url, json=body, auth=AUTH, trust_env=False, timeout=60).raise_for_status()
    return answer.json() if answer.content else None


def started_runs(url: str) -> list[dict[str, Any]]:
    """Return the runs of deployments that a worker has taken."""
    filters = {"state": {"type": {"not_any_": ["SCHEDULED"]}}}
    runs: list[dict[str, Any]] = post(f"{url}/flow_runs/filter", {"flow_runs": filters})
    return [run for run in runs if run["deployment_id"]]


def pause(url: str) -> None:
    """Let no more runs start."""
    for deployment in post(f"{url}/deployments/filter", {}):
        post(f"{url}/deployments/{deployment['id']}/pause_deployment", {})
