import os
import shutil
from pathlib import Path

import pytest

from bertline.registry.conditions import require_rebuildable
from tests.support.toy_project import run_in, set_epochs


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


@pytest.mark.parametrize("path", ["README.md", "docs/guide.md", "prefect.yaml", "tests/test_mine.py"])
def test_what_no_rebuild_needs_may_be_edited(project: Path, path: str) -> None:
    commit_file(project, path)
    (project / path).write_text("edited")
    require_rebuildable(project)


@pytest.mark.parametrize(
    "path", ["dvc.yaml", "requirements.lock", "src/old.py", "lexicon/words.txt", "limits.json"]
)
def test_an_edit_of_what_a_rebuild_needs_is_refused(project: Path, path: str) -> None:
    """The map names a folder and a file of params, beside what every project has."""
    map_file = project / "dvc.yaml"
    named = map_file.read_text().replace(
        "deps: [raw.txt]", "deps: [raw.txt, lexicon]\n    params: [limits.json: [a]]"
    )
    map_file.write_text(named)
    commit_file(project, "lexicon/other.txt")
    if path != "dvc.yaml":
        commit_file(project, path)
    (project / path).write_text("edited")
    with pytest.raises(ValueError, match=rf"^{path} has uncommitted changes"):
        require_rebuildable(project)


@pytest.mark.parametrize("path", ["data/reviews.csv", "data/pinned_rows.csv"])
def test_notes_of_people_on_rows_may_change(project: Path, path: str) -> None:
    commit_file(project, path)
    (project / path).write_text("id,decision\n")
    require_rebuildable(project)


def commit_file(project: Path, path: str) -> None:
    (project / path).parent.mkdir(parents=True, exist_ok=True)
    (project / path).write_text("first")
    run_in(project, "git", "add", "--force", path)
    run_in(project, "git", "commit", "--quiet", "--all", "--message", path)


def test_notes_that_are_not_in_git_do_no_harm(project: Path) -> None:
    (project / "notes.txt").write_text("")
    require_rebuildable(project)


def test_the_code_of_another_clone_is_refused(project: Path) -> None:
    commit_file(project, "src/bertline/__init__.py")
    with pytest.raises(ValueError, match="so what ran would not be what is recorded; run: "):
        require_rebuildable(project)
