import shutil
from pathlib import Path

import pytest

from bertline.registry.registry import Registry
from flows.retraining import preflight


def test_a_clean_project_passes(project: Path) -> None:
    preflight.check(project)


def test_a_champion_that_cannot_be_fetched_is_missed_before_any_work(project: Path) -> None:
    registry = Registry(project)
    registry.assign(registry.register(registry.save_experiment(registry.freeze_run("run")), "why"), "why")
    shutil.rmtree(project / ".bertline")
    preflight.check(project)
    for folder in (".bertline", ".dvc/cache"):
        shutil.rmtree(project / folder)
    with pytest.raises(ValueError, match=r"the model of v1\.0\.0 is neither in DVC's cache nor in its"):
        preflight.check(project)


def test_a_typo_in_the_parameters_is_refused(project: Path) -> None:
    path = project / "params.yaml"
    path.write_text(path.read_text().replace("restarts:", "restart:"))
    with pytest.raises(ValueError, match=r"unknown key finetune\.restart"):
        preflight.check(project)
