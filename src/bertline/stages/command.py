"""Run a stage function as the command dvc.yaml names: one flag per path, one clear line per error.

A user's mistake (ValueError) and a failing machine (OSError, as of a full disk; MemoryError) end with one
`error:` line and exit status 1; anything else is our defect and keeps its traceback.
"""

import argparse
import inspect
import sys
from collections.abc import Callable
from pathlib import Path


def run(stage: Callable[..., None]) -> None:
    """Parse one required `--flag PATH` per keyword parameter of `stage`, then call it."""
    parser = argparse.ArgumentParser(prog=f"python -m {stage.__module__}", description=inspect.getdoc(stage))
    for name in inspect.signature(stage).parameters:
        parser.add_argument(f"--{name.replace('_', '-')}", type=Path, required=True, metavar="PATH")
    name = stage.__name__
    try:
        stage(**vars(parser.parse_args()))
    except (ValueError, OSError) as error:
        sys.exit(f"error: {name}: {error}")
    except MemoryError:
        sys.exit(f"error: {name}: there is not enough memory")
    except KeyboardInterrupt:
        print(f"error: {name}: interrupted; run the same command again to continue", file=sys.stderr)
        sys.exit(130)
