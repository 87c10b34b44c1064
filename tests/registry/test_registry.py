import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import dvc.api
import pytest

from bertline.project.layout import METRICS
from bertline.registry.registry import CHAMPION, Registry
from bertline.registry.tags import NAME
from tests.support.toy_project import run_in, set_epochs

Retrained = Callable[[int], Path]


def save_run(registry: Registry) -> str:
    """Save the finished run as a promotion does; return its commit."""
    return registry.save_experiment(registry.freeze_run("run"))


def promote(root: Path, message: str = "why") -> str:
    registry = Registry(root)
    version = registry.register(save_run(registry), message)
    registry.assign(version, message)
    return version.name


def git(root: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=root, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_the_first_version_is_1_0_0_and_later_ones_bump_the_minor_number(retrained: Retrained) -> None:
    assert [promote(retrained(epochs)) for epochs in (2, 3)] == ["v1.0.0", "v1.1.0"]


@pytest.mark.parametrize("deprecated", [["v1.1.0"], ["v1.0.0", "v1.1.0"]])
def test_the_number_of_a_deprecated_version_is_not_given_again(
    retrained: Retrained, deprecated: list[str]
) -> None:
    for epochs in (2, 3):
        promote(root := retrained(epochs))
    for version in deprecated:
        run_in(root, "gto", "deprecate", NAME, version)
    assert promote(retrained(4)) == "v1.2.0"


@pytest.mark.parametrize("tag", ["v2", "v1.05.0", "v1.0.0.0"])
def test_a_tag_that_is_no_version_to_gto_is_none_here(project: Path, tag: str) -> None:
    git(project, "tag", "-a", "-m", "by hand", f"{NAME}@{tag}")
    assert Registry(project).versions() == []
    assert promote(project) == "v1.0.0"


def test_a_promotion_leaves_branch_index_and_working_tree_alone(project: Path) -> None:
    before = git(project, "status", "--porcelain"), git(project, "rev-parse", "HEAD")
    promote(project)
    assert (git(project, "status", "--porcelain"), git(project, "rev-parse", "HEAD")) == before


def test_an_experiment_is_saved_once(project: Path) -> None:
    registry = Registry(project)
    assert save_run(registry) == save_run(registry)
    assert len(git(project, "for-each-ref", "refs/exps", "--format=%(refname)").splitlines()) == 1


def test_the_experiment_holds_lock_params_and_outputs_that_dvc_does_not_cache(project: Path) -> None:
    commit = save_run(Registry(project))
    for path in ("dvc.lock", "params.yaml", "reports/ingest.json"):
        assert git(project, "show", f"{commit}:{path}") == (project / path).read_text().strip()


def test_the_experiment_holds_new_data_versions_and_a_lock_that_git_does_not_know(project: Path) -> None:
    (project / "new.csv").write_text("text,label\n")
    run_in(project, "dvc", "add", "--quiet", "new.csv")
    assert git(project, "ls-files", "dvc.lock", "new.csv.dvc") == ""
    commit = save_run(Registry(project))
    saved = git(project, "diff", "--name-only", "HEAD", commit).split()
    assert saved == [".gitignore", "dvc.lock", "new.csv.dvc", "reports/ingest.json"]
    assert git(project, "show", "--no-patch", "--format=%an <%ae> %s %P", commit) == (
        f"Toy <toy@example.com> run {git(project, 'rev-parse', 'HEAD')}"
    )


def test_an_edit_of_a_file_that_no_run_changes_stays_in_the_checkout_alone(project: Path) -> None:
    (project / "README.md").write_text("committed")
    (project / "data/reviews.csv").write_text("id\n")
    git(project, "add", "--force", "README.md", "data/reviews.csv")
    git(project, "commit", "--quiet", "--message", "Notes")
    (project / "README.md").write_text("edited, and staged")
    git(project, "add", "README.md")
    (project / "README.md").write_text("edited again")
    (project / "data/reviews.csv").write_text("id\n1\n")
    commit = save_run(Registry(project))
    assert git(project, "show", f"{commit}:README.md") == "committed"
    assert git(project, "show", f"{commit}:data/reviews.csv") == "id\n1"
    assert (project / "README.md").read_text() == "edited again"
    assert git(project, "show", ":README.md") == "edited, and staged"


def test_dvc_and_gto_know_the_experiment(project: Path) -> None:
    promote(project)
    (ref,) = git(project, "for-each-ref", "refs/exps", "--format=%(refname)").splitlines()
    name = ref.rpartition("/")[2]
    assert name in run_in(project, "dvc", "exp", "list")
    assert name in run_in(project, "dvc", "exp", "show", "--csv")
    assert "v1.0.0" in run_in(project, "gto", "show", NAME)
    run_in(project, "dvc", "artifacts", "get", ".", NAME, "--stage", CHAMPION, "--out", "got")
    assert (project / "got/model.txt").read_text() == "3"


@pytest.mark.parametrize("step", ["read-tree", "add", "write-tree", "commit-tree", "update-ref"])
def test_a_process_killed_while_it_saves_leaves_the_checkout_as_it_was(project: Path, step: str) -> None:
    program = (
        "import os; from pathlib import Path; from bertline.project import experiments\n"
        "from bertline.registry import registry\n"
        "real = experiments.git\n"
        "def killed(root, *arguments, **options):\n"
        "    done = real(root, *arguments, **options)\n"
        f"    return os._exit(9) if arguments[0] == {step!r} else done\n"
        "experiments.git = killed\n"
        "mine = registry.Registry(Path.cwd())\n"
        "mine.save_experiment(mine.freeze_run('run'))"
    )

    def state() -> tuple[str, str, str, bytes]:
        status = git(project, "status", "--porcelain", "--untracked-files=all")  # it renews the index first
        head = git(project, "symbolic-ref", "HEAD"), git(project, "rev-parse", "HEAD")
        return *head, status, (project / ".git/index").read_bytes()

    before = state()
    assert subprocess.run([sys.executable, "-c", program], cwd=project, check=False).returncode == 9
    assert state() == before
    assert promote(project) == "v1.0.0"


def test_an_experiment_that_was_removed_is_found_by_its_version(project: Path) -> None:
    promote(project)
    for ref in git(project, "for-each-ref", "refs/exps", "--format=%(refname)").splitlines():
        git(project, "update-ref", "-d", ref)
    registry = Registry(project)
    assert save_run(registry) == registry.versions()[0].commit


def test_registering_and_assigning_twice_changes_nothing(project: Path) -> None:
    promote(project)
    tags = git(project, "tag", "--list")
    promote(project)
    assert git(project, "tag", "--list") == tags


def test_the_champion_is_the_last_assigned_not_the_highest_version(retrained: Retrained) -> None:
    for epochs in (2, 3):
        root = retrained(epochs)
        promote(root)
    registry = Registry(root)
    registry.assign(registry.find("v1.0.0"), "rolled back")
    champion = registry.champion()
    assert champion is not None
    assert champion.name == "v1.0.0"
    assert [each.name for each in registry.champion_history()] == ["v1.0.0", "v1.1.0", "v1.0.0"]


def test_dvc_sees_the_same_champion_at_once_after_a_rollback(retrained: Retrained) -> None:
    for epochs in (2, 3):
        root = retrained(epochs)
        promote(root)
    registry = Registry(root)
    registry.assign(registry.find("v1.0.0"), "rolled back")
    assert (
        dvc.api.artifacts_show(NAME, stage=CHAMPION, repo=str(root))["rev"] == registry.find("v1.0.0").commit
    )


def test_fetch_brings_back_the_bits_of_an_older_model(retrained: Retrained) -> None:
    root = retrained(2)
    promote(root)
    retrained(3)
    registry = Registry(root)
    assert (registry.fetch(registry.find("v1.0.0")) / "model.txt").read_text() == "2"
    assert (root / "models/candidate/model.txt").read_text() == "3"


def test_a_model_that_is_gone_never_becomes_champion(project: Path) -> None:
    registry = Registry(project)
    version = registry.register(save_run(registry), "why")
    shutil.rmtree(project / ".dvc/cache")
    with pytest.raises(ValueError, match="is neither in DVC's cache nor in its remote"):
        registry.assign(version, "why")
    assert registry.champion() is None


def test_a_model_that_is_gone_can_be_made_again_as_the_error_says(project: Path) -> None:
    promote(project)
    for folder in (".bertline", ".dvc/cache"):
        shutil.rmtree(project / folder)
    run_in(project, "dvc", "add", "--quiet", "raw.txt")  # the data are still there
    set_epochs(project, 2)
    registry = Registry(project)
    with pytest.raises(ValueError, match="make it again from the same raw data: git worktree") as refusal:
        registry.fetch(registry.versions()[0])
    steps = str(refusal.value).partition("raw data: ")[2].partition(";")[0]
    run_in(project, "bash", "-c", steps)
    assert (registry.fetch(registry.versions()[0]) / "model.txt").read_text() == "3"


def test_a_model_half_fetched_by_a_process_that_was_killed_is_removed(project: Path) -> None:
    torn = project / ".bertline/champions/tmpabc/model"
    torn.mkdir(parents=True)
    promote(project)
    assert not torn.parent.exists()


def test_only_the_champion_and_the_model_just_fetched_are_kept(retrained: Retrained) -> None:
    for epochs in (2, 3, 4):
        promote(root := retrained(epochs))
    registry = Registry(root)
    folders = [registry.fetch(version) for version in registry.versions()]
    registry.fetch(registry.versions()[1])
    assert [folder.exists() for folder in folders] == [False, True, True]


def test_a_champion_of_the_future_is_an_error_not_a_wait(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry(project)
    version = registry.register(save_run(registry), "why")
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2099-01-02T03:04:05Z")
    git(project, "tag", "-a", "-m", "ahead", f"{NAME}#{CHAMPION}#1", "HEAD")
    monkeypatch.delenv("GIT_COMMITTER_DATE")
    with pytest.raises(ValueError, match="assigned at 2099-01-02 03:04:05 UTC, which is in the future"):
        Registry(project).assign(version, "why")


def test_a_repository_that_takes_no_tags_is_a_clear_error(project: Path) -> None:
    registry = Registry(project)
    commit = save_run(registry)
    git(project, "tag", "text-classifier@v1.0.0", "HEAD")  # a lightweight one: not a registration
    with pytest.raises(ValueError, match=r"^cannot make a tag: .*; see: git tag"):  # . is no line break
        registry.register(commit, "why")


def test_a_number_that_another_worktree_gave_at_the_same_time_is_one_error_line(project: Path) -> None:
    registry = Registry(project)
    commit = save_run(registry)
    assert registry.versions() == []
    git(project, "tag", "-a", "-m", "its", "text-classifier@v1.0.0", "HEAD")
    with pytest.raises(ValueError, match=r"^cannot make a tag: .*; see: git tag"):
        registry.register(commit, "why")


def test_a_pushed_model_is_fetched_from_the_remote_when_the_cache_is_gone(
    project: Path, tmp_path: Path
) -> None:
    subprocess.run(
        ["dvc", "remote", "add", "--local", "--default", "store", str(tmp_path / "store")], check=True
    )
    registry = Registry(project)
    registry.push()
    version = registry.register(save_run(registry), "why")
    shutil.rmtree(project / ".dvc/cache")
    assert (registry.fetch(version) / "model.txt").exists()


def test_a_remote_that_takes_nothing_is_a_clear_error(project: Path) -> None:
    (project / "file").write_text("not a folder")
    subprocess.run(
        ["dvc", "remote", "add", "--local", "--default", "store", str(project / "file")], check=True
    )
    with pytest.raises(ValueError, match="cannot push to DVC remote 'store'"):
        Registry(project).push()


def test_reports_of_a_version_are_those_of_its_time(retrained: Retrained) -> None:
    root = retrained(2)
    promote(root)
    (root / "reports/evaluation/metrics.json").write_text(json.dumps({"candidate": "changed"}))
    [metrics, lost] = Registry(root).reports(Registry(root).versions()[0], METRICS, Path("lost.json"))
    assert metrics["rows"] == 300
    assert lost == {}


def test_the_reasons_are_the_message_of_the_tags(project: Path) -> None:
    promote(project, "first line\nsecond line")
    assert Registry(project).versions()[0].reasons == "first line\nsecond line"
    assert "second line" in git(project, "tag", "--list", "--format=%(contents)", f"{NAME}#{CHAMPION}#1")


def test_versions_are_found_by_the_hash_of_their_model_also_where_git_paints(retrained: Retrained) -> None:
    root = retrained(2)
    git(root, "config", "color.ui", "always")
    promote(root)
    older = Registry(root).candidate()
    promote(retrained(3))
    assert older is not None
    assert [version.name for version in Registry(root).versions_of(older)] == ["v1.0.0"]


def test_a_folder_of_the_project_is_told_where_its_root_is(project: Path) -> None:
    inner = project / "inner"
    inner.mkdir()
    with pytest.raises(ValueError, match=f"is not the root of the project; run from {project}$"):
        Registry(inner)
