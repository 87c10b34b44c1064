"""deploy/entrypoint.sh, which gives a container its checkout, with real git."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.toy_project import REPOSITORY, run_in

SCRIPT = REPOSITORY / "deploy/entrypoint.sh"


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """A repository with one commit."""
    run_in(tmp_path, "git", "init", "--quiet", "--initial-branch", "main", "origin")
    origin = tmp_path / "origin"
    run_in(origin, "git", "config", "user.name", "Toy")
    run_in(origin, "git", "config", "user.email", "toy@example.com")
    return commit(origin, "first")


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """A new volume, as some file systems make it."""
    (tmp_path / "work/lost+found").mkdir(parents=True)
    return tmp_path / "work"


def commit(origin: Path, content: str) -> Path:
    (origin / "code").write_text(content)
    run_in(origin, "git", "add", "--all")
    run_in(origin, "git", "commit", "--quiet", "--message", content)
    return origin


def start(volume: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ["sh", str(SCRIPT), "cat", "code"]
    env = os.environ | environment
    return subprocess.run(command, cwd=volume, env=env, capture_output=True, text=True, check=False)


def test_the_volume_gets_a_clone_that_later_starts_bring_up_to_date(origin: Path, volume: Path) -> None:
    assert start(volume, BERTLINE_REPOSITORY=str(origin)).stdout == "first"
    (volume / "project/result").write_text("kept")
    commit(origin, "second")
    assert start(volume).stdout == "second"
    assert (volume / "project/result").read_text() == "kept"


def test_without_the_repository_the_code_that_is_there_runs(origin: Path, volume: Path) -> None:
    start(volume, BERTLINE_REPOSITORY=str(origin))
    origin.rename(origin.with_name("gone"))
    done = start(volume)
    assert (done.returncode, done.stdout) == (0, "first")
    assert "warning: origin cannot be reached" in done.stderr


def test_an_edit_that_is_in_the_way_of_a_commit_is_kept_and_named(origin: Path, volume: Path) -> None:
    start(volume, BERTLINE_REPOSITORY=str(origin))
    (volume / "project/code").write_text("edited")
    commit(origin, "second")
    done = start(volume)
    assert (done.returncode, done.stdout) == (1, "")
    assert "code" in done.stderr
    assert (volume / "project/code").read_text() == "edited"


def test_an_empty_volume_needs_the_address_of_a_repository(volume: Path) -> None:
    done = start(volume, BERTLINE_REPOSITORY="")
    assert done.returncode != 0
    assert "BERTLINE_REPOSITORY: set it to the address of the git repository" in done.stderr
