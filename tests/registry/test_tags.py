import socket
from pathlib import Path

import psutil
import pytest

from bertline.registry import tags
from bertline.registry.conditions import require_rebuildable
from tests.support.toy_project import run_in
from tests.support.waiting import wait_until


def speaking_to(url: str) -> list[int]:
    """Return the processes that have `url` among their arguments."""
    return [each.pid for each in psutil.process_iter(["cmdline"]) if url in (each.info["cmdline"] or ())]


def test_of_a_remote_that_never_answers_no_process_is_left(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tags, "_REMOTE_SECONDS", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/model.git"
        run_in(project, "git", "remote", "add", "origin", url)
        tags.require_all_tags(project)
        wait_until(lambda: not speaking_to(url), 10)
        assert speaking_to(url) == []


@pytest.fixture
def clone(project: Path, tmp_path: Path) -> Path:
    """A clone of a project that has a version, made before there was one; the project has moved on, too."""
    clone = tmp_path / "clone"
    run_in(tmp_path, "git", "clone", "--quiet", "--no-tags", str(project), str(clone))
    run_in(project, "git", "commit", "--allow-empty", "--quiet", "--message", "Later")
    for tag in ("text-classifier@v1.0.0", "text-classifier#champion#1", "unrelated"):
        run_in(project, "git", "tag", "-a", "-m", "first", tag)
    for key in ("user.name", "user.email"):
        run_in(clone, "git", "config", key, "toy@example.com")
    return clone


def test_the_tags_of_the_registry_are_fetched_and_no_branch_moves(clone: Path) -> None:
    branches = run_in(clone, "git", "for-each-ref", "refs/heads", "refs/remotes")
    require_rebuildable(clone)
    assert run_in(clone, "git", "tag").split() == ["text-classifier#champion#1", "text-classifier@v1.0.0"]
    assert run_in(clone, "git", "for-each-ref", "refs/heads", "refs/remotes") == branches
    require_rebuildable(clone)  # and nothing is left to do


def test_a_tag_that_two_clones_made_at_the_same_time_is_named_with_the_way_out(clone: Path) -> None:
    run_in(clone, "git", "tag", "-a", "-m", "mine", "text-classifier@v1.0.0")
    with pytest.raises(ValueError, match=r"^text-classifier@v1\.0\.0 is another model here") as refusal:
        require_rebuildable(clone)
    run_in(clone, "bash", "-c", str(refusal.value).partition("run: ")[2])
    require_rebuildable(clone)
    assert run_in(clone, "git", "tag", "--format=%(contents)", "--list", "*@*").strip() == "first"


def test_a_tag_that_cannot_be_fetched_is_a_clear_error(clone: Path) -> None:
    in_the_way = clone / ".git/refs/tags/text-classifier@v1.0.0"
    in_the_way.mkdir()
    (in_the_way / "file").write_text("")
    with pytest.raises(ValueError, match=r"has text-classifier@v1\.0\.0, .*; run: git fetch --tags origin$"):
        require_rebuildable(clone)


def test_a_remote_that_is_away_is_a_warning(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    run_in(project, "git", "remote", "add", "origin", "http://127.0.0.1:9/away.git")
    require_rebuildable(project)
    assert caplog.messages == [
        "origin cannot be reached, so versions of other clones may be unknown here; see: git ls-remote origin"
    ]
