"""The steps of retrain.yml in a clone as GitHub makes one: one commit, detached, no tags, no branch."""

import os
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.support.toy_project import REPOSITORY, add_flows, run_in

WORKFLOW = YAML(typ="safe", pure=True).load((REPOSITORY / ".github/workflows/retrain.yml").read_text())
JOB = WORKFLOW["jobs"]["retrain"]
STEPS = {step["name"]: step for step in JOB["steps"] if "run" in step and step["name"] != "Set up"}
"""What a runner would run, without the installation of packages."""


@pytest.fixture
def origin(fresh: Path, tmp_path: Path) -> Path:
    """A toy project on a git server, whose DVC remote has its raw data."""
    run_in(fresh, "dvc", "remote", "add", "--default", "store", str(tmp_path / "store"))
    add_flows(fresh)
    run_in(fresh, "dvc", "push", "--quiet")
    run_in(tmp_path, "git", "clone", "--quiet", "--bare", str(fresh), "origin.git")
    return tmp_path / "origin.git"


def checkout(origin: Path, name: str) -> Path:
    """Return a clone as actions/checkout makes it."""
    root = origin.parent / name
    run_in(origin.parent, "git", "init", "--quiet", name)
    run_in(root, "git", "remote", "add", "origin", origin.as_uri())
    run_in(
        root, "git", "fetch", "--quiet", "--no-tags", "--depth=1", "origin", "+HEAD:refs/remotes/origin/main"
    )
    run_in(root, "git", "checkout", "--quiet", "--detach", "refs/remotes/origin/main")
    return root


def run_step(name: str, root: Path, server: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a step as a runner does, with the variables of the job that hold no expression."""
    step = STEPS[name]
    written = JOB["env"] | step.get("env", {})
    env = {name: "" if "${{" in str(value) else str(value) for name, value in written.items()}
    files = {"GITHUB_STEP_SUMMARY": f"{root}.md", "RUNNER_TEMP": str(root.parent)}
    nobody = {"GIT_CONFIG_GLOBAL": "/dev/null", "PYTHONPATH": str(root)}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    given = os.environ | server | env | files | nobody
    return subprocess.run(command, cwd=root, env=given, capture_output=True, text=True, check=False)


def test_the_second_week_restores_all_and_the_versions_come_home(
    origin: Path, server_environment: dict[str, str]
) -> None:
    assert WORKFLOW["defaults"]["run"]["shell"] == "bash"  # GitHub then sets pipefail, as `run_step` does
    ends = []
    for week in ("first", "second"):
        root = checkout(origin, week)
        for name in STEPS:
            done = run_step(name, root, server_environment)
            assert done.returncode == 0, done.stdout + done.stderr
        ends.append(Path(f"{root}.md").read_text())
        assert run_in(origin, "git", "tag").split() == [
            "text-classifier#champion#1",
            "text-classifier@v1.0.0",
        ]
    assert ends[0].startswith("## Promoted\n```\n")
    assert "verdict  promoted: v1.0.0 is the champion now" in ends[0]
    assert "ingest, validate, finetune, evaluate\n" in ends[1].partition("restored: ")[2]
    assert "completed: " not in ends[1]
    assert run_in(origin, "git", "for-each-ref", "refs/exps")


def test_without_a_dvc_remote_nothing_is_trained(origin: Path, server_environment: dict[str, str]) -> None:
    root = checkout(origin, "clone")
    (root / ".dvc/config").write_text("")
    done = run_step("Require a DVC remote", root, server_environment)
    assert (done.returncode, done.stdout[:32]) == (1, "::error::There is no DVC remote,")
