"""What holds before a stage does anything: all of params.yaml is right, not only its own section."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bertline.core.stage_command import checking

RunStage = Callable[..., "subprocess.CompletedProcess[str]"]


def test_a_wrong_key_of_a_later_stage_stops_the_first_with_one_line(
    set_params: Callable[..., None], run_stage: RunStage
) -> None:
    set_params("finetune", epoch=3)
    done = run_stage("ingest", rows="data/rows.parquet", report="reports/ingest.json")
    assert done.returncode == 1
    assert done.stderr.startswith("error: params.yaml: unknown key finetune.epoch; allowed: seed, epochs")
    assert done.stderr.count("\n") == 1


def test_nothing_is_written_before_params_are_right(
    set_params: Callable[..., None], run_stage: RunStage
) -> None:
    set_params("promote", min_accuracy="high")
    run_stage("ingest", rows="data/rows.parquet", report="reports/ingest.json")
    assert [path.name for path in Path().iterdir()] == ["params.yaml"]


def test_the_check_ends_with_the_stage_that_started_it(set_params: Callable[..., None]) -> None:
    with pytest.raises(KeyboardInterrupt), checking() as params_check:
        raise KeyboardInterrupt
    assert params_check.returncode == -signal.SIGKILL


def test_importing_the_command_imports_no_section() -> None:
    code = (
        "import sys, bertline.core.stage_command; print([m for m in sys.modules if 'bertline.params' in m])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
