"""Commands that need Prefect: `bertline NAME` starts `python -m flows.NAME` in the current folder.

Only `flows/` imports Prefect, and it lies in the checkout. Each command has its own `--help`.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import typer

FORWARDS = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def start(module: str, help_text: str) -> Callable[[typer.Context], None]:
    """Return the command that starts `flows.MODULE` with its arguments; `help_text` is its help."""

    def command(context: typer.Context) -> None:
        if not Path("flows", f"{module}.py").is_file():
            where = f"there is no flows/{module}.py in {Path.cwd()}"
            raise ValueError(f"{where}: run this in the root of a checkout of bertline")
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, "-m", f"flows.{module}", *context.args])  # noqa: S606 - no shell

    command.__doc__ = help_text
    return command
