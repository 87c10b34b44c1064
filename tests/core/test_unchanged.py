"""What is edited while a stage runs: DVC hashes at the end what the stage has read at its start."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from dvc.exceptions import ReproductionError

from bertline.core import unchanged
from tests.support.toy_project import environment, reproduce, run_in  # noqa: F401 - a fixture

STAGE = """
import os, subprocess
from pathlib import Path
from bertline.core.stage_command import checking, run

def train(*, out: Path) -> None:
    subprocess.run(os.environ["EDIT"], shell=True, check=True)
    out.write_text("a model")

if __name__ == "__main__":
    with checking() as params_check:
        params_check.kill()  # the params of this project are its own
        run(train)
"""
MAP = """
stages:
  train:
    cmd: python code/train.py --out model.txt
    deps: [code, data, other.txt]
    params: [train, limits.rows, extra.json: [a.b]]
    outs: [model.txt]
"""
FILES = {
    "code/train.py": STAGE,
    "data/rows.csv": "rows",
    "data/large.bin": "0" * (unchanged._SMALL + 1),
    "other.txt": "other",
    "params.yaml": "train: {epochs: 3, options: {rate: 0.1}}\nlimits: {rows: 5, cols: 6}\nserve: {port: 80}",
    "extra.json": '{"a": {"b": 1, "c": 2}}',
    ".dvcignore": "__pycache__\n*.tmp\n",
    "README.md": "notes",
}
Edited = Callable[[str], None]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("template") / "project"
    for name, text in (FILES | {"dvc.yaml": MAP}).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    run_in(root, "git", "init", "--quiet")
    run_in(root, "dvc", "init", "--quiet")
    return root


@pytest.fixture
def edited(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Edited:
    """Run the stage of a project of one's own, with a shell command that edits while it runs."""
    run_in(tmp_path, "cp", "-a", str(template), "project")
    monkeypatch.chdir(tmp_path / "project")

    def edited(edit: str) -> None:
        monkeypatch.setenv("EDIT", edit)
        reproduce(Path.cwd())

    return edited


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        ("sed -i s/0.1/0.2/ params.yaml", "train.options.rate"),
        ("sed -i 's/rows: 5/rows: 7/; s/epochs: 3/epochs: 4/' params.yaml", "train.epochs and 1 more"),
        ("""echo '{"a": {"b": 3}}' > extra.json""", "extra.json: a.b"),
        ("echo '# more' >> code/train.py", "code/train.py"),
        ("mv data/rows.csv data/all.csv", "data/all.csv and 1 more"),
        ("touch data/large.bin", "data/large.bin"),
        ("rm other.txt", "other.txt"),
    ],
)
def test_a_stage_whose_inputs_changed_fails_and_nothing_is_recorded(
    edited: Edited, capfd: pytest.CaptureFixture[str], edit: str, named: str
) -> None:
    with pytest.raises(ReproductionError):
        edited(edit)
    assert f"error: train: {named} changed while train ran: run again\n" in capfd.readouterr().err
    assert not Path("dvc.lock").exists()
    assert not Path(".dvc/cache/runs").exists()


def test_run_again_the_stage_ends_and_what_ran_is_recorded(edited: Edited) -> None:
    with pytest.raises(ReproductionError):
        edited("sed -i s/0.1/0.2/ params.yaml")
    edited("true")
    assert "rate: 0.2" in Path("dvc.lock").read_text()


def test_an_edit_of_anything_else_does_not_matter(edited: Edited) -> None:
    edited(
        "sed -i 's/port: 80/port: 81/; s/cols: 6/cols: 7/; 1i # a comment' params.yaml;"
        "sed -i 's/: 2/: 9/' extra.json;"
        "touch data/rows.csv code/train.py; echo > data/rows.tmp;"  # .dvcignore names the second
        "mkdir -p code/__pycache__; echo > code/__pycache__/train.pyc; echo > README.md; echo > new.txt;"
        "cp -p data/rows.csv copy; mv copy data/rows.csv"  # another inode, the same text
    )
    assert Path("dvc.lock").exists()


def test_a_stage_that_dvc_does_not_run_is_not_checked(
    edited: Edited, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDIT", "sed -i s/0.1/0.2/ params.yaml")
    monkeypatch.setitem(os.environ, "PYTHONDONTWRITEBYTECODE", "1")
    run_in(Path.cwd(), sys.executable, "code/train.py", "--out", "model.txt")
    assert Path("model.txt").exists()
