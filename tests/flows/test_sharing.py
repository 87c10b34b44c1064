"""Two clones of a toy project, which share by DVC's default remote what their stages computed."""

import shutil
from pathlib import Path

import pytest
from dvc.repo import Repo
from prefect import flow

from bertline.project.remote import PUSHED
from bertline.project.reproduction import StageError
from bertline.registry.storage import push_outputs
from flows.retraining.dvc_tasks import run_pipeline
from tests.support.ssh_server import serving
from tests.support.toy_project import reproduce, run_in

STAGES = ["ingest", "validate", "finetune", "evaluate"]


def drive(root: Path, until: str = "") -> dict[str, str]:
    @flow(name="drive")
    def run() -> dict[str, str]:
        return {stage: state.name or "" for stage, state in run_pipeline(root, until).items()}

    return run()


@pytest.fixture(scope="session")
def shared_template(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a toy project after a run, `first`, and its DVC remote, `store`."""
    folder = tmp_path_factory.mktemp("shared")
    shutil.copytree(template, folder / "first")
    run_in(folder / "first", "dvc", "remote", "add", "--default", "store", "../store")
    run_in(folder / "first", "git", "commit", "--quiet", "--all", "--message", "Remote")
    assert set(drive(folder / "first").values()) == {"Cached", "Completed"}
    return folder


@pytest.fixture
def first(shared_template: Path, tmp_path: Path) -> Path:
    """The toy project that has run, beside its remote."""
    shutil.copytree(shared_template, tmp_path, dirs_exist_ok=True)
    return tmp_path / "first"


@pytest.fixture
def second(first: Path) -> Path:
    """A new clone of it."""
    return clone(first)


def clone(root: Path) -> Path:
    run_in(root.parent, "git", "clone", "--quiet", str(root), "second")
    return root.parent / "second"


def deliver(root: Path, text: str) -> None:
    """Bring new raw data into the project."""
    run_in(root, "dvc", "remove", "raw.txt.dvc")
    (root / "raw.txt").unlink(missing_ok=True)
    (root / "raw.txt").write_text(text)
    run_in(root, "dvc", "add", "--quiet", "raw.txt")
    run_in(root, "git", "commit", "--quiet", "--all", "--message", "Data")


def test_what_one_clone_computed_another_one_does_not_compute_again(first: Path, second: Path) -> None:
    assert drive(second) == dict.fromkeys(["raw.txt.dvc", *STAGES], "Restored")
    assert (second / "dvc.lock").read_bytes() == (first / "dvc.lock").read_bytes()


def test_what_a_promotion_pushed_is_restored_by_dvc_alone(first: Path, second: Path) -> None:
    shutil.rmtree(first.parent / "store")
    push_outputs(first)
    assert "Running stage" not in run_in(second, "dvc", "repro", "--pull")
    assert (second / "dvc.lock").read_bytes() == (first / "dvc.lock").read_bytes()


def test_a_lock_that_is_in_git_is_restored_where_the_run_cache_is_empty(first: Path) -> None:
    shutil.rmtree(first.parent / "store/runs")
    run_in(first, "git", "add", "--force", "dvc.lock")
    run_in(first, "git", "commit", "--quiet", "--message", "Lock")
    second = clone(first)
    assert drive(second, "validate")["validate"] == "Restored"


def test_what_dvc_computed_by_hand_is_shared_by_the_next_run(first: Path) -> None:
    deliver(first, "other rows\n")
    reproduce(first)
    drive(first, "ingest")
    assert drive(clone(first), "ingest")["ingest"] == "Restored"


def test_the_stages_before_one_that_failed_are_shared(first: Path) -> None:
    deliver(first, "bad rows\n")
    with pytest.raises(StageError):
        drive(first)
    assert drive(clone(first), "ingest")["ingest"] == "Restored"


def test_what_is_no_longer_in_the_remote_is_computed(
    first: Path, second: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Repo(str(first)) as repo:
        [raw] = repo.stage.collect(str(first / "raw.txt.dvc"))[0].outs
    for path in (first.parent / "store/files").rglob("*"):
        if path.is_file() and path.name != raw.hash_info.value[2:]:
            path.unlink()
    assert drive(second, "validate") == {
        "raw.txt.dvc": "Restored",
        "ingest": "Completed",
        "validate": "Completed",
    }
    assert "cannot be used" not in caplog.text


def test_a_remote_that_cannot_be_used_is_one_warning_and_the_next_run_pushes(
    first: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = first.parent / "store"
    deliver(first, "other rows\n")
    store.rename(first.parent / "elsewhere")
    store.write_text("no folder")
    assert drive(first, "validate")["validate"] == "Completed"
    assert caplog.text.count("the DVC remote 'store' cannot be used (") == 1
    store.unlink()
    (first.parent / "elsewhere").rename(store)
    assert drive(first, "validate")["validate"] == "Cached"
    assert drive(clone(first), "validate")["validate"] == "Restored"


def test_a_run_with_nothing_new_does_not_ask_the_remote(
    first: Path, caplog: pytest.LogCaptureFixture
) -> None:
    drive(first)  # the folder was moved: so this is a new remote
    shutil.rmtree(first.parent / "store")
    (first.parent / "store").write_text("no folder")
    assert set(drive(first).values()) == {"Cached"}
    assert "cannot be used" not in caplog.text


def test_a_project_without_a_default_remote_shares_nothing(fresh: Path) -> None:
    drive(fresh, "ingest")
    assert not (fresh / PUSHED).exists()


def test_a_remote_over_ssh_is_shared_too(first: Path, tmp_path: Path) -> None:
    (tmp_path / "served").mkdir()
    with serving(tmp_path / "served", tmp_path) as (port, key):
        run_in(first, "dvc", "remote", "modify", "store", "url", f"ssh://me@127.0.0.1:{port}/models")
        run_in(first, "dvc", "remote", "modify", "store", "keyfile", str(key))
        run_in(first, "dvc", "remote", "modify", "store", "allow_agent", "false")
        run_in(first, "git", "commit", "--quiet", "--all", "--message", "SSH")
        drive(first, "ingest")
        assert set(drive(clone(first), "ingest").values()) == {"Restored"}
