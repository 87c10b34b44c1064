"""Compare the seeded trainings of two commits on this machine, bit by bit.

`python -m benchmarks.compare_losses OLD NEW` checks both commits out beside each other and runs the trainings
of tests/support/golden_losses.py with the code of each, one or two minutes a commit. For every training it
prints "equal", or the first step at which the losses differ, and exits with 1 if any training differs.
OLD may be 856d59f, the first commit of this layout, or later. Without NEW, OLD is compared with HEAD.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def outcomes_of(commit: str, folder: Path) -> dict[str, Any]:
    """Return the outcomes of all trainings with the code of `commit`, checked out into `folder`."""
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", str(folder), commit], check=True)
    try:
        path = f"{folder / 'src'}{os.pathsep}{ROOT}"
        command = [sys.executable, "-m", "tests.support.golden_losses", "--compare", folder / "params.yaml"]
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ | {"PYTHONPATH": path}, check=True, stdout=subprocess.PIPE
        )
    finally:
        subprocess.run([*git, "remove", "--force", str(folder)], check=True)
    outcomes: dict[str, Any] = json.loads(done.stdout)
    return outcomes


def difference(old: dict[str, Any], new: dict[str, Any]) -> str | None:
    """Return where two outcomes of one training first differ; None if all their bits are equal."""
    pairs = zip(old["losses"], new["losses"], strict=False)
    for step, (before, after) in enumerate(pairs, start=1):
        if before != after:
            return f"step {step}: loss {before!r}, then {after!r} (relative {abs(after / before - 1):.1e})"
    if len(old["losses"]) != len(new["losses"]):
        return f"{len(old['losses'])} steps, then {len(new['losses'])}"
    if old["scores"] != new["scores"]:
        return "the losses are equal, the scores on validation are not"
    return None if old["weights_sha256"] == new["weights_sha256"] else "only the saved weights differ"


def main() -> None:
    """Print a line for every training."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("old", metavar="OLD", help="a commit")
    parser.add_argument("new", metavar="NEW", nargs="?", default="HEAD", help="another commit")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bertline-compare-") as folder:
        old = outcomes_of(arguments.old, Path(folder, "old"))
        new = outcomes_of(arguments.new, Path(folder, "new"))
    different = 0
    for name, outcome in old.items():
        found = difference(outcome, new[name])
        different += found is not None
        print(f"{name:<28} {found or 'equal'}")
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
