"""The README's commands for a schedule, on a server of one's own with PostgreSQL and a password.

tests/flows/test_up.py does the same with the server that `make up` brings, on SQLite.
"""

import subprocess
from pathlib import Path

import httpx
import psutil
import pytest

from bertline.project.supervisor import FOLDER
from flows.connection import require_answer
from tests.support.postgresql import ENCODED
from tests.support.prefect_server import AUTH, PASSWORD, start_server
from tests.support.scheduling import documented_commands, pause, schedule, started_runs
from tests.support.services import Services, free_port
from tests.support.toy_project import run_in


def test_the_worker_starts_the_run_that_the_schedule_asks_for_and_it_completes(
    fresh: Path, services: Services, postgres: int, tmp_path: Path
) -> None:
    database = f"postgresql+asyncpg://owner:{ENCODED}@127.0.0.1:{postgres}/postgres"
    server, env = start_server(
        services,
        tmp_path / "home",
        PREFECT_SERVER_DATABASE_CONNECTION_URL=database,
        PREFECT_SERVER_API_AUTH_STRING=PASSWORD,
    )
    url = env["PREFECT_API_URL"]
    up, down = documented_commands()
    schedule(fresh)
    with pytest.raises(ValueError, match=f"^the Prefect server at {url} wants another password: set "):
        require_answer(url)
    (fresh / ".env").write_text(f"PREFECT_API_AUTH_STRING={PASSWORD}\n")
    subprocess.run([*up, "--reports-port", str(free_port())], cwd=fresh, env=env, check=True)
    try:
        server.wait_until(lambda: any(run["end_time"] for run in started_runs(url)))
        pause(url)
        server.wait_until(lambda: all(run["end_time"] for run in started_runs(url)))
        ends = {(run["state_type"], run["auto_scheduled"]) for run in started_runs(url)}
        assert ends == {("COMPLETED", True)}
        assert "text-classifier@v1.0.0" in run_in(fresh, "git", "tag")
        assert httpx.post(f"{url}/flow_runs/filter", json={}, trust_env=False).status_code == 401
        assert AUTH[1] not in server.text() + shown(fresh)
    finally:
        subprocess.run(down, cwd=fresh, env=env, check=True)


def shown(root: Path) -> str:
    """Return what others may read: the logs in `root`, and the command lines of all processes."""
    logs = [log.read_text() for log in (root / FOLDER).glob("*.log*")]
    assert len(logs) >= 4
    lines = [" ".join(each.info["cmdline"] or []) for each in psutil.process_iter(["cmdline"])]
    assert any("prefect worker start" in line for line in lines)
    return "\n".join([*logs, *lines])
