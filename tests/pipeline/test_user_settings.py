"""The checkout is the user's: tests pass after every valid change of the files that are the user's."""

import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.support.tiny import Run, copy_project

TESTS = (
    "tests/core/test_params_loading.py",
    "tests/params",
    "tests/stages/validate/test_custom_checks.py",
    "tests/stages/validate/quarantine/test_reviews.py",
    "tests/tuning/test_techniques.py",
    "tests/tuning/test_yaml_edit.py",
)
"""Quick tests of what reads the user's files."""

EXPECTATION = """
- {name: short, severity: warn, expect: column_value_lengths_to_be_between, column: text, max_value: 9,
   allowed: nine characters}
"""


@pytest.mark.parametrize("preset", ["small-data", "fast"])
def test_tests_pass_in_a_checkout_with_settings_of_its_own(preset: str, run: Run, tmp_path: Path) -> None:
    project = tmp_path / "project"
    copy_project(project)
    assert run(project, "bertline", "preset", preset).returncode == 0
    other_layout(project / "params.yaml")
    (project / "expectations.yaml").write_text(EXPECTATION)
    (project / "slices.yaml").write_text("- {name: mine, where: label = 'x'}")
    (project / "behaviour.yaml").write_text("off: [typos]")
    with (project / "data/reviews.csv").open("a") as reviews:
        reviews.write(f"{'0' * 32},release,text_length,Ann,\n")
    done = run(project, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-x", *TESTS)
    assert done.returncode == 0, done.stdout[-3000:]


def other_layout(path: Path) -> None:
    """Write params.yaml without comments, with sections and keys in another order."""
    document = YAML(typ="safe").load(path)
    document["ingest"] |= {"source": "data/incoming/*.csv", "timestamp_column": "time"}
    with path.open("w") as file:
        YAML().dump({name: dict(reversed(keys.items())) for name, keys in reversed(document.items())}, file)
