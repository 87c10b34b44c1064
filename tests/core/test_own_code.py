import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import bertline
from bertline.core.own_code import require_own_code

PACKAGE = Path(bertline.__file__).parent


def test_the_code_of_another_clone_is_refused_with_the_next_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "src/bertline").mkdir(parents=True)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    with pytest.raises(
        ValueError, match=rf"runs that of {PACKAGE}, .*run: cd {tmp_path} && make setup && source"
    ):
        require_own_code(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    with pytest.raises(ValueError, match=r"run: unset PYTHONPATH$"):
        require_own_code(tmp_path)


def test_its_own_code_may_run_also_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(PACKAGE.parents[1])
    require_own_code(tmp_path / "link")


def test_a_project_without_code_of_its_own_runs_what_is_installed(tmp_path: Path) -> None:
    require_own_code(tmp_path)


def test_a_stage_refuses_to_run_other_code_than_its_project_has(
    set_params: Callable[..., None], run_stage: Callable[..., "subprocess.CompletedProcess[str]"]
) -> None:
    Path("src/bertline").mkdir(parents=True)
    done = run_stage("ingest", rows="data/rows.parquet", report="reports/ingest.json")
    assert done.returncode == 1
    assert done.stderr.startswith("error: the code of this project is ")
    assert done.stderr.count("\n") == 1
