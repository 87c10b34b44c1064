"""Run a stage function as the command dvc.yaml names: one flag per path, one clear line per error.

All of params.yaml is checked before the stage does anything, and its inputs must be the same at its end as at
its start (`unchanged`). A user's mistake (ValueError) and a failing machine (OSError, as of a full disk;
MemoryError) end with one `error:` line and exit status 1; anything else is our defect and has a traceback.
A program that starts the stage and wants to know its error names a file in the environment (`ERROR_FILE`).
"""

import argparse
import atexit
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from bertline.core.own_code import require_own_code
from bertline.core.unchanged import remember_inputs, require_unchanged

ERROR_FILE = "BERTLINE_ERROR_FILE"
"""Environment variable: the file that gets the stage's error as JSON, `{"stage": ..., "message": ...}`."""

_CHECK_PARAMS = [sys.executable, "-m", "bertline.params.checking"]
"""Started by its name: an import would make the settings of all stages a dependency of each."""


@contextmanager
def checking() -> Iterator["subprocess.Popen[str]"]:
    """Look at the stage's inputs before it does, and start the check of params.yaml in a process of its own.

    That process takes half a second of a core, and ends with the block at the latest; the caller imports its
    stage meanwhile, which takes longer.
    """
    pipe = subprocess.PIPE
    with subprocess.Popen(_CHECK_PARAMS, stdin=subprocess.DEVNULL, stderr=pipe, text=True) as params_check:
        try:
            _require_own_code()
            remember_inputs()
            yield params_check
        finally:
            params_check.kill()


def _require_own_code() -> None:
    try:
        require_own_code(Path.cwd())
    except ValueError as error:
        fail(None, str(error))


def run(stage: Callable[..., None], params_check: "subprocess.Popen[str] | None" = None) -> NoReturn:
    """Parse one required `--flag PATH` per keyword parameter of `stage`, call it, and end this process.

    Waits for `params_check` first, and ends with its error if it found one.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m {stage.__module__.removesuffix('.stage')}", description=inspect.getdoc(stage)
    )
    for name in inspect.signature(stage).parameters:
        parser.add_argument(f"--{name.replace('_', '-')}", type=Path, required=True, metavar="PATH")
    name = stage.__name__
    arguments = vars(parser.parse_args())
    try:
        if params_check is not None:
            _wait_for(params_check)
        stage(**arguments)
        atexit._run_exitfuncs()  # libraries end what they have started
        sys.stdout.flush()
        require_unchanged()
    except (ValueError, OSError) as error:
        fail(name, str(error))
    except MemoryError:
        fail(name, "there is not enough memory")
    except KeyboardInterrupt:
        fail(name, "interrupted; run the same command again to continue", status=130)
    # Python needs up to a second to take torch apart. DVC would wait, and an edit would be recorded.
    sys.stderr.flush()
    os._exit(0)


def _wait_for(params_check: "subprocess.Popen[str]") -> None:
    _, message = params_check.communicate()
    if params_check.returncode != 0:
        own = message.removeprefix("error: ").rstrip("\n")
        fail(None, own or f"the check of params.yaml ended with {params_check.returncode}")


def fail(stage: str | None, message: str, status: int = 1) -> NoReturn:
    """End this process with one `error:` line; the file of `ERROR_FILE` gets the message, too.

    `stage` is None where the fault is in no stage, but in params.yaml.
    """
    if path := os.environ.get(ERROR_FILE):
        Path(path).write_text(json.dumps({"stage": stage, "message": message}), "utf-8")
    print("error: " + (f"{stage}: {message}" if stage else message), file=sys.stderr)
    sys.exit(status)
