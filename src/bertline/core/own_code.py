"""Whether Python runs the code of this project, and not that of another clone whose environment is active."""

import os
import shlex
import sys
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def require_own_code(root: Path) -> None:
    """Check that the package that runs is the one in the `src` of `root`, if `root` has one.

    dvc.lock and a version name the code in `src`. A project without one names no code of ours, so the
    installed package may run.

    Raises:
        ValueError: it is another; the message has the next command.
    """
    own = root.resolve() / "src" / _PACKAGE.name
    if not own.is_dir() or own.resolve() == _PACKAGE:
        return
    if os.environ.get("PYTHONPATH"):
        way = "unset PYTHONPATH"
    elif Path(sys.prefix).resolve().is_relative_to(root.resolve()):
        way = "python -m pip install --no-deps --no-build-isolation --editable ."
    else:
        folder = shlex.quote(str(root.resolve()))
        way = f"cd {folder} && make setup && source .venv/bin/activate"
    raise ValueError(
        f"the code of this project is {own}, but Python ({sys.executable}) runs that of {_PACKAGE}, "
        f"so what ran would not be what is recorded; run: {way}"
    )
