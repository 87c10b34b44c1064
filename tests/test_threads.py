"""How threads wait for each other is settled before torch is loaded."""

import os
import subprocess
import sys

import pytest

SHOW = """
import os, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print(os.environ.get("GOMP_SPINCOUNT"))
            sys.exit()  # the rest takes seconds
sys.meta_path.insert(0, Finder())
import {module}
"""


@pytest.mark.parametrize("module", ["bertline.stages.finetune.stage", "bertline.models.torch_backend"])
@pytest.mark.parametrize(
    ("own", "expected"),
    [({}, "3000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, None)],
    ids=["ours", "the user's", "the user's policy"],
)
def test_threads_that_wait_soon_sleep_unless_the_user_says_otherwise(
    module: str, own: dict[str, str], expected: str | None
) -> None:
    inherited = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    command = [sys.executable, "-c", SHOW.format(module=module)]
    shown = subprocess.run(command, env=inherited | own, capture_output=True, text=True, check=True).stdout
    assert shown == f"{expected}\n"
