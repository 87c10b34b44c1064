"""Each state of a checkout that `bertline doctor` knows, made in a toy project."""

import json
import shutil
from pathlib import Path

import psutil
import pytest

import bertline
from bertline.project.supervisor import FOLDER
from bertline.promotion.promote import compare_with_champion, promote
from bertline.registry import checkup
from bertline.registry.checkup import CHECKS, Finding, examine, look
from tests.support.toy_project import run_in, set_epochs

CHECK = dict(CHECKS)


def wrong(check: str, root: Path) -> str:
    """Return what the check finds to be wrong."""
    finding = look(check, lambda: CHECK[check](root))
    assert finding.is_wrong, finding
    return finding.line


def test_a_sound_checkout_has_nothing_wrong(project: Path) -> None:
    assert [str(each) for each in examine(project) if each.is_wrong] == []


def test_a_finding_is_one_line() -> None:
    assert str(Finding(check="disk", line="full", is_wrong=True)) == "WRONG disk         full"


def test_a_folder_without_git(tmp_path: Path) -> None:
    assert "run: git init" in wrong("repository", tmp_path)


def test_git_does_not_know_the_user(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    run_in(fresh, "git", "config", "--unset", "user.email")
    assert "git config --global user.email" in wrong("repository", fresh)


def test_code_that_is_not_committed(fresh: Path) -> None:
    (fresh / "stages.py").write_text("edited")
    assert wrong("committed", fresh).startswith("stages.py has uncommitted changes")


def test_a_parameter_that_is_wrong(fresh: Path) -> None:
    set_epochs(fresh, -1)
    assert "finetune.epochs is -1" in wrong("params", fresh)


def test_the_environment_of_another_clone(fresh: Path) -> None:
    (fresh / "src" / "bertline").mkdir(parents=True)
    there = Path(bertline.__file__).parents[2]
    assert wrong("environment", fresh).startswith(f"the active environment runs the code of {there}")


def test_a_git_remote_that_does_not_answer(fresh: Path) -> None:
    run_in(fresh, "git", "remote", "add", "origin", str(fresh / "nowhere"))
    assert wrong("git remote", fresh).startswith("the git remote origin does not answer")


def test_a_git_remote_with_newer_tags(fresh: Path, tmp_path: Path) -> None:
    run_in(fresh, "git", "init", "--quiet", "--bare", str(tmp_path / "origin"))
    run_in(fresh, "git", "remote", "add", "origin", str(tmp_path / "origin"))
    run_in(fresh, "git", "push", "--quiet", "origin", "HEAD:refs/tags/text-classifier@v1.0.0")
    assert not look("git remote", lambda: CHECK["git remote"](fresh)).is_wrong
    assert run_in(fresh, "git", "tag").split() == ["text-classifier@v1.0.0"]


def test_a_tag_that_the_git_remote_has_of_another_model(fresh: Path, tmp_path: Path) -> None:
    run_in(fresh, "git", "init", "--quiet", "--bare", str(tmp_path / "origin"))
    run_in(fresh, "git", "remote", "add", "origin", str(tmp_path / "origin"))
    run_in(fresh, "git", "push", "--quiet", "origin", "HEAD:refs/tags/text-classifier@v1.0.0")
    run_in(fresh, "git", "tag", "--annotate", "--message", "mine", "text-classifier@v1.0.0")
    assert "two clones made it at once" in wrong("git remote", fresh)


def test_a_dvc_remote_that_is_not_there(fresh: Path) -> None:
    run_in(fresh, "dvc", "remote", "add", "--quiet", "-d", "store", str(fresh.parent / "unmounted"))
    assert f"the folder {fresh.parent / 'unmounted'} of the DVC remote 'store'" in wrong("DVC remote", fresh)


def test_a_champion_whose_model_is_lost(retrained_champion: Path) -> None:
    shutil.rmtree(retrained_champion / ".dvc" / "cache")
    assert wrong("champion", retrained_champion).startswith("the model of v1.0.0 is neither in DVC's cache")


def test_a_lock_file_of_dvc_that_was_written_in_part(fresh: Path) -> None:
    path = fresh / ".dvc" / "tmp" / "rwlock"
    path.parent.mkdir(exist_ok=True)
    path.write_text('{"/mod')
    assert wrong("locks", fresh).endswith("rm .dvc/tmp/rwlock")


def test_a_disk_that_is_too_full(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkup, "_MODELS_NEEDED", 1e18)  # the toy model has a few bytes
    assert "'Disk' in docs/operations.md" in wrong("disk", project)


@pytest.mark.parametrize(("supervisor", "said"), [(2**22 + 1, "run: make up"), (1, "worker ended")])
def test_services_that_were_killed(fresh: Path, supervisor: int, said: str) -> None:
    (fresh / FOLDER).mkdir(parents=True)
    created = psutil.Process(1).create_time()
    state = {
        "supervisor": {"pid": supervisor, "created": created},
        "ready": True,
        "addresses": {},
        "services": {"worker": {"pid": 2**22 + 1, "created": created}},
    }
    (fresh / FOLDER / "state.json").write_text(json.dumps(state))
    assert said in wrong("services", fresh)


@pytest.fixture
def retrained_champion(project: Path) -> Path:
    promote(project, compare_with_champion(project))
    shutil.rmtree(project / ".bertline" / "champions")
    return project
