"""A user's checkout of an older bertline, with a champion of its own, takes over the code of today."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.support.tiny import PROJECT, Run, environment, make_texts, write_csv

OLD = "97d0af7"  # the last commit of the flat layout
THEIR_PARAMS = {
    "ingest": {"source": "data/incoming/rows.csv"},
    "split": {"validation": 0.2, "test": 0.3},
    "tokenize": {"weights": "models/tiny"},
    "finetune": {"epochs": 2, "batch_size": 8, "learning_rate": 3e-3, "device": "cpu"},
    "promote": {"min_accuracy": 0.0, "min_gain_over_baseline": -1.0},
}

pytestmark = pytest.mark.skipif(
    subprocess.run(["git", "cat-file", "-e", OLD], cwd=PROJECT, check=False, capture_output=True).returncode
    != 0,
    reason=f"commit {OLD} is not in this clone",
)


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, env=environment(folder), check=True, capture_output=True)


def set_params(folder: Path, **sections: dict[str, object]) -> None:
    yaml = YAML()
    document = yaml.load(folder / "params.yaml")
    for section, values in sections.items():
        document[section].update(values)
    yaml.dump(document, folder / "params.yaml")


@pytest.fixture(scope="module")
def merged(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path, run: Run) -> Path:
    """A checkout of the old code that has promoted a model, after it has merged today's code."""
    folder = tmp_path_factory.mktemp("old") / "project"
    git(
        PROJECT, "clone", "--quiet", "--no-local", "--no-tags", str(PROJECT), str(folder)
    )  # no champion of ours
    git(folder, "checkout", "--quiet", "-b", "mine", OLD)
    git(folder, "remote", "remove", "origin")
    shutil.copytree(tiny_encoder, folder / "models/tiny")
    write_csv(folder / "data/incoming/rows.csv", make_texts(200))
    set_params(folder, **THEIR_PARAMS)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "My data and settings")
    old_command = [sys.executable, "-c", "from bertline.cli import app; app()"]
    for command in (["dvc", "repro"], [*old_command, "promote"]):
        done = run(folder, *command)
        assert done.returncode == 0, done.stdout + done.stderr

    upstream = folder.with_name("upstream")
    git(folder, "worktree", "add", "--quiet", "-b", "upstream", str(upstream), OLD)
    replace_files(upstream)
    git(upstream, "add", "--all")
    git(upstream, "commit", "--quiet", "--message", "A newer bertline")
    # Their values and the new keys stand in the same lines: take the new file, and write the values again.
    git(folder, "merge", "--quiet", "--strategy-option", "theirs", "--message", "Merge", "upstream")
    git(folder, "checkout", "--quiet", "upstream", "--", "params.yaml")
    set_params(folder, **THEIR_PARAMS)
    git(folder, "commit", "--quiet", "--all", "--allow-empty", "--message", "My settings again")
    return folder


def replace_files(folder: Path) -> None:
    """Put today's files of the project in the place of those in `folder`."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=PROJECT, capture_output=True, text=True, check=True).stdout.split("\0")
    git(folder, "rm", "-r", "--quiet", ".")
    for name in filter(None, names):
        if (PROJECT / name).is_file() and name != "dvc.lock":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, folder / name)


def test_the_champion_of_an_older_checkout_answers_is_judged_and_comes_back(merged: Path, run: Run) -> None:
    def bertline(*arguments: str) -> str:
        done = run(merged, "bertline", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    answer = bertline("predict", "what is the cat dog")
    set_params(merged, finetune={"epochs": 3}, promote={"max_loss_to_champion": 1.0})
    done = run(merged, "dvc", "repro")
    assert done.returncode == 0, done.stdout + done.stderr
    promoted = bertline("promote")
    assert "minus the champion's" in promoted  # so the old champion answered today's test rows
    assert "v1.1.0 is the champion now" in promoted
    bertline("rollback")
    assert bertline("predict", "what is the cat dog") == answer
