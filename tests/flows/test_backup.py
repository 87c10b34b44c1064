"""The commands of docs/operations.md that save and restore the server's database, on real ones."""

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from prefect.variables import Variable
from sqlalchemy import NullPool, create_engine

from tests.support.postgresql import ENCODED
from tests.support.toy_project import REPOSITORY


def documented(*programs: str) -> str:
    """Return the lines of the section on backups that begin with `programs`, without those of make."""
    section = (
        (REPOSITORY / "docs/operations.md").read_text().partition("\n## Backup\n")[2].partition("\n## ")[0]
    )
    lines = [line for line in section.splitlines() if line.startswith(programs)]
    assert len(lines) >= len(programs)
    return "\n".join(lines)


def run(commands: str, folder: Path, **environment: str) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = os.environ | {"PATH": path} | environment
    subprocess.run(["bash", "-euc", commands], cwd=folder, env=env, check=True)


def test_sqlite_is_saved_while_the_server_runs_and_restored(
    server_environment: dict[str, str], tmp_path: Path
) -> None:
    Variable.set("saved", "before", overwrite=True)
    home = tmp_path / ".prefect"
    home.symlink_to(server_environment["PREFECT_HOME"])
    run(documented("python"), tmp_path, HOME=str(tmp_path))
    home.unlink()
    home.mkdir()
    for end in ("", "-wal", "-shm"):
        (home / f"prefect.db{end}").write_text("broken")
    run(documented("rm", "cp"), tmp_path, HOME=str(tmp_path))
    restored = sqlite3.connect(home / "prefect.db")
    assert restored.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert restored.execute("SELECT value FROM variable WHERE name = 'saved'").fetchall() == [('"before"',)]


def test_postgresql_is_saved_and_restored(postgres: int, tmp_path: Path) -> None:
    if shutil.which("pg_dump") is None or shutil.which("pg_restore") is None:
        pytest.skip("there is no pg_dump or no pg_restore here")
    url = f"postgresql://owner:{ENCODED}@127.0.0.1:{postgres}/prefect"
    administrator = create_engine(url.replace("/prefect", "/postgres"), isolation_level="AUTOCOMMIT")
    with administrator.connect() as connection:
        connection.exec_driver_sql("CREATE DATABASE prefect")
    administrator.dispose()
    run("prefect server database upgrade --yes", tmp_path, **_server(url))
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO variable (name, value) VALUES ('saved', '\"before\"')")
    run(documented("pg_dump"), tmp_path, DATABASE=url)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE variable SET value = '\"after\"'")
        connection.exec_driver_sql("DROP TABLE log")
    run(documented("pg_restore"), tmp_path, DATABASE=url)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT value FROM variable").fetchall() == [("before",)]
        assert connection.exec_driver_sql("SELECT count(*) FROM log").scalar() == 0


def _server(url: str) -> dict[str, str]:
    return {"PREFECT_SERVER_DATABASE_CONNECTION_URL": url.replace("postgresql:", "postgresql+asyncpg:")}
