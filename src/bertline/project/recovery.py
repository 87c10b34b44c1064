"""What a killed run left in this checkout, mended before the next one starts anything.

- Processes of a stage whose run is gone are ended. Each carries the variable `MARK` in its environment, with
  the folder of the project and the process that started it. No other process is touched.
- DVC's locks of processes that are gone are removed, and a half-written list of them (`dvc_locks`).
- A half-written dvc.lock is set aside: DVC's run cache restores what it knew.

Nothing else needs mending: DVC removes the outputs of a stage before it runs, a file enters its cache by a
rename, and a training continues from its crash checkpoint.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from bertline.core.yaml_text import parse_yaml
from bertline.project.dvc_locks import mend_rwlock, wait_for_dvc
from bertline.project.layout import SCRATCH
from bertline.project.lock_file import LOCK_FILE
from bertline.project.processes import end_group, identity, is_alive
from bertline.project.run_lock import only_run

MARK = "BERTLINE_RUN"


@contextmanager
def our_turn(
    root: Path, *, wait: float = 0.0, say: Callable[[str], object] = lambda line: None
) -> Iterator[bool]:
    """Be the only one at work in `root` within the block, with all mended that a killed run left there.

    A run, or a `dvc repro` by hand, that is at work is waited for, each for at most `wait` seconds. `say`
    gets a line on that, and on each thing that was mended. May be nested: yields whether this block is the
    outermost one, which alone mends and waits for DVC.

    Raises:
        ValueError: the other one is still at work.
    """
    with only_run(root, wait=wait, say=say) as outermost:
        if outermost:
            for line in recover(root):
                say(line)
            wait_for_dvc(root, wait=wait, say=say)
        yield outermost


def mark(root: Path) -> dict[str, str]:
    """Return the variable by which a process of a stage in `root` is known as started by this process."""
    return {MARK: json.dumps({"root": str(root.resolve()), "owner": identity(os.getpid())})}


def recover(root: Path) -> list[str]:
    """Mend what killed runs left in `root`, whose lock the caller holds; return a line on each thing."""
    return [*_end_leftovers(root), *mend_rwlock(root), *_set_broken_lock_aside(root)]


def _end_leftovers(root: Path) -> list[str]:
    groups: dict[int, list[str]] = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError, ValueError, LookupError, TypeError):  # ended, or another user's
            marked = json.loads(process.environ()[MARK])
            if marked["root"] == str(root.resolve()) and not is_alive(marked["owner"]):
                groups.setdefault(os.getpgid(process.pid), []).append(" ".join(process.cmdline()))
    groups.pop(os.getpgrp(), None)
    for leader in groups:
        end_group(leader)
    return [f"ended what a killed run had left running: {commands[-1]}" for commands in groups.values()]


def _set_broken_lock_aside(root: Path) -> list[str]:
    from ruamel.yaml.error import YAMLError

    path, aside = root / LOCK_FILE, root / SCRATCH / f"{LOCK_FILE}.broken"
    try:
        whole = not path.exists() or isinstance(parse_yaml(path.read_text("utf-8")), dict)
    except (YAMLError, UnicodeDecodeError):
        whole = False
    if whole:
        return []
    aside.parent.mkdir(exist_ok=True)
    path.replace(aside)
    return [f"moved {LOCK_FILE}, which DVC could not read, to {aside.relative_to(root)}"]
