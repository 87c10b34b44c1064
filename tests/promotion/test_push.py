"""Two clones of a toy project that push what they promote to a bare git repository."""

import shutil
from pathlib import Path

import pytest

from bertline.promotion.promote import compare_with_champion, promote
from bertline.promotion.rollback import roll_back
from bertline.registry import tags
from bertline.registry.checkup import check_push
from bertline.registry.git_remote import chosen_remote, share, unpushed
from bertline.registry.registry import Registry
from tests.support.toy_project import reproduce, run_in, set_epochs

VERSION, CHAMPION = "text-classifier@v1.0.0", "text-classifier#champion#1"


@pytest.fixture
def bare(project: Path, tmp_path: Path) -> Path:
    """A bare repository, which is the git remote `origin` of the project."""
    run_in(tmp_path, "git", "clone", "--quiet", "--bare", str(project), "bare.git")
    run_in(project, "git", "remote", "add", "origin", str(tmp_path / "bare.git"))
    return tmp_path / "bare.git"


@pytest.fixture
def other(project: Path, bare: Path, tmp_path: Path) -> Path:
    """Another clone, with another model."""
    shutil.copytree(project, tmp_path / "other")
    set_epochs(tmp_path / "other", 4)
    reproduce(tmp_path / "other")
    return tmp_path / "other"


def promoted(root: Path, push: str | None = "origin") -> str | None:
    """Promote the candidate without a comparison, and push it."""
    decision = compare_with_champion(root)
    version = promote(root, decision, push=push)
    return share(root, push, version)


def refs(root: Path) -> list[str]:
    """The tags of a repository and the number of its experiments."""
    found = run_in(root, "git", "for-each-ref", "--format=%(refname:strip=1)", "refs/tags", "refs/exps")
    return [ref.removeprefix("tags/").partition("exps/")[0] or "experiment" for ref in found.split()]


def test_a_promotion_and_a_rollback_reach_the_git_remote_with_the_experiment(
    project: Path, bare: Path
) -> None:
    assert str(promoted(project)).startswith("pushed to origin: refs/exps/")
    assert refs(bare) == ["experiment", CHAMPION, VERSION]
    set_epochs(project, 4)
    reproduce(project)
    registry = Registry(project)
    registry.assign(registry.register(registry.save_experiment(registry.freeze_run("run")), "why"), "why")
    share(project, "origin", roll_back(project, None, push="origin"))
    assert refs(bare) == ["experiment", CHAMPION, "text-classifier#champion#3", VERSION]


def test_without_a_remote_to_push_to_one_line_says_what_to_push(project: Path, bare: Path) -> None:
    line = str(promoted(project, push=None))
    assert line.startswith("known in this checkout alone; to share it: git push --atomic origin ")
    run_in(project, "bash", "-c", line.partition("to share it: ")[2].partition(" (or")[0])
    assert refs(bare) == ["experiment", CHAMPION, VERSION]


def test_a_project_without_git_remotes_has_nothing_to_say(project: Path) -> None:
    assert promoted(project, push=None) is None


def test_where_another_clone_was_quicker_its_promotion_stands(
    project: Path, other: Path, bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decision = compare_with_champion(project)
    monkeypatch.chdir(other)
    promoted(other)
    monkeypatch.chdir(project)
    with monkeypatch.context() as patch:  # the other one pushes after this one has looked
        patch.setattr(tags, "_require_tags_of", lambda root, remote: None)
        version = promote(project, decision, push="origin")
    with pytest.raises(ValueError, match=rf"^another clone was quicker: origin has another {CHAMPION}, "):
        share(project, "origin", version)
    assert Registry(project).champion() == Registry(other).champion() != version
    assert "experiment" in refs(project)
    assert refs(bare) == ["experiment", CHAMPION, VERSION]
    assert unpushed(project) == set()


def test_what_cannot_be_pushed_now_is_pushed_by_the_next_run(project: Path, bare: Path) -> None:
    away = bare.with_name("away.git")
    decision = compare_with_champion(project)
    bare.rename(away)
    version = promote(project, decision, push="origin")
    line = str(share(project, "origin", version))
    assert line.startswith("not pushed to origin (fatal: ")
    assert Registry(project).champion() == version
    set_push(project, "origin")
    with pytest.raises(ValueError, match=r"^3 tags and experiments of promotions are not pushed to origin; "):
        check_push(project)
    away.rename(bare)
    assert str(share(project, "origin", None)).startswith("pushed to origin: ")
    assert refs(bare) == ["experiment", CHAMPION, VERSION]
    assert check_push(project) == "promotions are pushed to origin"
    assert share(project, "origin", None) is None


def test_a_remote_that_refuses_is_no_other_clone(project: Path, bare: Path) -> None:
    hook = bare / "hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho no tags on Sundays\nexit 1\n")
    hook.chmod(0o755)
    assert "no tags on Sundays" in str(promoted(project))
    assert Registry(project).champion() is not None


def test_a_killed_promotion_is_pushed_by_the_next_run(project: Path, bare: Path) -> None:
    promote(project, compare_with_champion(project), push="origin")  # and no `share`
    assert str(share(project, "origin", None)).startswith("pushed to origin: ")
    assert refs(bare) == ["experiment", CHAMPION, VERSION]


def test_a_wrong_remote_is_refused(project: Path, bare: Path) -> None:
    assert chosen_remote(project) is None
    with pytest.raises(ValueError, match=r"^the option push is 'team', .*; there are: origin; run: git "):
        chosen_remote(project, "team")
    set_push(project, "team")
    with pytest.raises(ValueError, match=r"^promote\.push in params\.yaml is 'team', "):
        chosen_remote(project)


def set_push(root: Path, name: str) -> None:
    path = root / "params.yaml"
    path.write_text(path.read_text().replace("\n  push: null", f"\n  push: {name}"))
