import os
import shutil
from pathlib import Path

import pytest
from toy_project import run_in, set_epochs

from bertline.promotion.rebuildable import require_rebuildable, require_saveable


def test_a_clean_project_passes(project: Path) -> None:
    require_rebuildable(project)


def test_parameters_lock_and_data_versions_may_change(project: Path) -> None:
    run_in(project, "git", "add", "dvc.lock")
    run_in(project, "git", "commit", "--quiet", "--message", "Lock")
    set_epochs(project, 2)
    for name in ("dvc.lock", "raw.txt.dvc"):
        with (project / name).open("a") as file:
            file.write("\n")
    (project / "data/incoming").mkdir()
    (project / "data/incoming/new.csv").write_text("text,label\n")
    require_rebuildable(project)


def test_an_unpacked_zip_is_not_a_repository(project: Path) -> None:
    shutil.rmtree(project / ".git")
    with pytest.raises(ValueError, match=r"is not a git repository.*run: git init"):
        require_rebuildable(project)


def test_a_zip_unpacked_inside_another_repository_is_not_one_either(project: Path, tmp_path: Path) -> None:
    shutil.rmtree(project / ".git")
    run_in(tmp_path, "git", "init", "--quiet")
    with pytest.raises(ValueError, match="is not a git repository"):
        require_rebuildable(project)


def test_a_folder_of_the_project_is_told_where_its_root_is(project: Path) -> None:
    (project / "src").mkdir()
    with pytest.raises(ValueError, match=f"run from {project}$"):
        require_rebuildable(project / "src")


def test_a_repository_that_git_refuses_to_read_is_refused_in_its_words(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # as in a container, or under sudo
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)  # which may call every folder safe
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("LC_ALL", "C")
    with pytest.raises(ValueError, match=r"dubious ownership .* git config --global --add safe\.directory"):
        require_rebuildable(project)


def test_a_clone_without_the_tags_of_its_remote_is_refused(project: Path, tmp_path: Path) -> None:
    run_in(project, "git", "tag", "-a", "-m", "first", "text-classifier@v1.0.0")
    clone = tmp_path / "clone"
    run_in(tmp_path, "git", "clone", "--quiet", "--no-tags", str(project), str(clone))
    for key in ("user.name", "user.email"):
        run_in(clone, "git", "config", key, "toy@example.com")
    with pytest.raises(ValueError, match=r"has text-classifier@v1\.0\.0, .*run: git fetch --tags origin"):
        require_rebuildable(clone)
    require_saveable(clone)  # an experiment makes no tag
    run_in(clone, "git", "fetch", "--quiet", "--tags", "origin")
    require_rebuildable(clone)
    run_in(clone, "git", "tag", "--force", "-a", "-m", "another", "text-classifier@v1.0.0")
    with pytest.raises(ValueError, match=r"another model here than in origin; run: git tag --delete"):
        require_rebuildable(clone)


def test_a_remote_that_is_away_is_no_obstacle(project: Path) -> None:
    run_in(project, "git", "remote", "add", "origin", "http://127.0.0.1:9/away.git")
    require_rebuildable(project)


def test_a_repository_without_a_commit_is_refused(project: Path) -> None:
    shutil.rmtree(project / ".git")
    run_in(project, "git", "init", "--quiet")
    with pytest.raises(ValueError, match="no commit yet; run: git add -A && git commit"):
        require_rebuildable(project)


def test_a_project_without_dvc_is_refused(project: Path) -> None:
    shutil.rmtree(project / ".dvc")
    with pytest.raises(ValueError, match="not a DVC project; run: dvc init"):
        require_rebuildable(project)


@pytest.mark.parametrize("key", ["user.name", "user.email"])
def test_an_identity_that_git_would_have_to_guess_is_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, key: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    run_in(project, "git", "config", "--unset", key)
    with pytest.raises(ValueError, match=f"does not know who you are; run: git config --global {key}"):
        require_rebuildable(project)


def test_uncommitted_code_is_refused(project: Path) -> None:
    (project / "stages.py").write_text("changed")
    with pytest.raises(ValueError, match=r"stages\.py has uncommitted changes.*git commit -a, or: git stash"):
        require_rebuildable(project)


def test_a_module_that_is_not_in_git_is_refused(project: Path) -> None:
    (project / "src").mkdir()
    (project / "src/new.py").write_text("")
    with pytest.raises(ValueError, match=r"src/new\.py is not in git.*run: git add src/new\.py"):
        require_rebuildable(project)


def test_notes_that_are_not_in_git_do_no_harm(project: Path) -> None:
    (project / "notes.txt").write_text("")
    require_rebuildable(project)
