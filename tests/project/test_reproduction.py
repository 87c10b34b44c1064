import os
import shutil
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from bertline.project.reproduction import (
    CACHED,
    COMPLETED,
    RESTORED,
    Began,
    Ended,
    Request,
    prepared,
    reproducing,
)
from tests.support.waiting import wait_until_ended

PARAMS = """
label_map: {0: no, 1: maybe}
names: ["é", null, .inf, 1e-4]
"""
ALL_PARAMS = "[label_map, names]"


def start(folder: Path, **stages: str) -> Path:
    """Make a DVC project; the stages are in flow style."""
    folder.mkdir()
    (folder / "params.yaml").write_text(PARAMS)
    described = "".join(f"  {name}: {stage}\n" for name, stage in stages.items())
    (folder / "dvc.yaml").write_text(f"stages:\n{described}")
    subprocess.run(["dvc", "init", "--no-scm", "--quiet"], cwd=folder, check=True)
    return folder


def reproduce(root: Path, request: Request) -> tuple[list[object], dict[str, str], int | None]:
    """Return what happened, how each stage ended, and the exit status."""
    with reproducing(root, request) as run:
        events: list[object] = [*run.events()]
    return events, run.ended, run.process.returncode


def children() -> set[psutil.Process]:
    return {*psutil.Process().children()}


def test_each_stage_begins_after_those_that_it_depends_on_and_ends_as_it_did(tmp_path: Path) -> None:
    two = "{cmd: cp one two, deps: [one], outs: [two]}"
    root = start(
        tmp_path / "project", two=two, one="{cmd: cp params.yaml one, deps: [params.yaml], outs: [one]}"
    )
    events, ended, status = reproduce(root, Request())
    began = [event for event in events if isinstance(event, Began)]
    assert began == [Began("one", []), Began("two", ["one"])]
    assert [event for event in events if isinstance(event, Ended)] == [
        Ended("one", COMPLETED),
        Ended("two", COMPLETED),
    ]
    assert (ended, status) == ({"one": COMPLETED, "two": COMPLETED}, 0)
    (root / "two").unlink()
    (root / "dvc.lock").unlink()
    assert reproduce(root, Request())[1] == {"one": RESTORED, "two": RESTORED}
    assert reproduce(root, Request(["two"], single_item=True))[1] == {"two": CACHED}
    assert reproduce(root, Request(["one"], force=True))[1] == {"one": COMPLETED}


def test_params_of_every_type_are_recorded_as_by_dvc_repro(tmp_path: Path) -> None:
    stages = {
        name: f"{{cmd: echo {name} > {name}, outs: [{name}], params: {ALL_PARAMS}}}" for name in ("a", "b")
    }
    root = start(tmp_path / "project", **stages)
    other = shutil.copytree(root, tmp_path / "other")
    assert reproduce(root, Request())[1] == {"a": COMPLETED, "b": COMPLETED}
    subprocess.run(["dvc", "repro", "--quiet"], cwd=other, check=True)
    assert (root / "dvc.lock").read_bytes() == (other / "dvc.lock").read_bytes()


def test_an_edit_of_the_params_while_a_stage_runs_is_seen_by_the_next_one(tmp_path: Path) -> None:
    edit = "{cmd: \"sed -i 's/maybe/edited/' params.yaml; echo 1 > one\", outs: [one]}"
    two = "{cmd: cp one two, deps: [one], params: [label_map], outs: [two]}"
    root = start(tmp_path / "project", one=edit, two=two)
    reproduce(root, Request())
    assert "edited" in (root / "dvc.lock").read_text()


def test_a_stage_has_no_input_and_what_it_prints_is_no_event(tmp_path: Path) -> None:
    root = start(tmp_path / "project", one="{cmd: sh one.sh, outs: [one]}")
    event = '\x1e{"event": "Ended", "stage": "x", "how": "Cached"}'
    (root / "one.sh").write_text(f"cat; printf 'half a line {event}'; echo 1 > one")
    events, ended, status = reproduce(root, Request())
    assert [event for event in events if isinstance(event, str)] == [f"half a line {event}"]
    assert (ended, status) == ({"one": COMPLETED}, 0)


def test_a_child_that_was_started_early_is_used_once_and_ended_if_it_is_not(tmp_path: Path) -> None:
    root = start(tmp_path / "project", one="{cmd: echo 1 > one, outs: [one]}")
    before = children()
    with prepared(root):
        (early,) = children() - before
        with prepared(root):  # it is there
            assert children() == {early, *before}
        with reproducing(root, Request()) as run:
            assert run.process.pid == early.pid
            assert [event for event in run.events() if isinstance(event, Ended)] == [Ended("one", COMPLETED)]
        assert reproduce(root, Request())[1] == {"one": CACHED}  # by another child
    with pytest.raises(KeyError), prepared(root):
        (early,) = children() - before
        raise KeyError
    wait_until_ended(early.pid)


def test_a_child_that_was_killed_before_its_request_has_failed(tmp_path: Path) -> None:
    root = start(tmp_path / "project", one="{cmd: echo 1 > one, outs: [one]}")
    before = children()
    with prepared(root):
        (early,) = children() - before
        early.kill()
        wait_until_ended(early.pid)
        assert reproduce(root, Request()) == ([], {}, -signal.SIGKILL)


def test_a_child_that_is_stopped_leaves_no_stage_and_no_lock(tmp_path: Path) -> None:
    root = start(tmp_path / "project", one="{cmd: 'echo $$; sleep 300', outs: [one]}")
    with pytest.raises(KeyError), reproducing(root, Request()) as run:
        stage = next(int(event) for event in run.events() if isinstance(event, str))
        os.kill(stage, 0)
        raise KeyError
    wait_until_ended(stage)
    (root / "dvc.yaml").write_text("stages: {one: {cmd: echo 1 > one, outs: [one]}}")
    assert reproduce(root, Request())[1] == {"one": COMPLETED}
