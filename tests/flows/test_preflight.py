from pathlib import Path

import pytest

from flows import preflight


def test_a_clean_project_passes(project: Path) -> None:
    preflight.check(project)


def test_a_typo_in_the_parameters_is_refused(project: Path) -> None:
    path = project / "params.yaml"
    path.write_text(path.read_text().replace("restarts:", "restart:"))
    with pytest.raises(ValueError, match=r"unknown key finetune\.restart"):
        preflight.check(project)
