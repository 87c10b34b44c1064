"""The progress of a training as an artifact of its task: step, loss and time left, while it runs.

Guarantees: it costs the stage nothing, which writes a small file every few seconds; what goes wrong with it,
such as a server that is away for a moment, stops no run.
"""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import httpx
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.exceptions import PrefectException

from bertline.core.progress_file import SECONDS, Progress

_LAST_SECONDS = 5.0  # for the last update, after the stage has ended


@contextmanager
def progress_file() -> Iterator[Path]:
    """Yield the path of a file in which stages tell of their progress, one after the other."""
    with TemporaryDirectory() as folder:
        yield Path(folder, "progress.json")


@contextmanager
def shown_progress(stage: str, path: Path, *, seconds: float = SECONDS) -> Iterator[None]:
    """Show what `stage` writes into `path` about its progress within the block."""
    ended = threading.Event()
    follow = copy_context().run  # the artifacts belong to the current task run
    thread = threading.Thread(target=follow, args=(_follow, _key(stage), path, ended, seconds), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(_LAST_SECONDS)
        path.unlink(missing_ok=True)


def _follow(key: str, path: Path, ended: threading.Event, seconds: float) -> None:
    shown: Progress | None = None
    artifact: UUID | None = None
    is_last = False
    while not is_last:
        is_last = ended.wait(seconds)
        found = _read(path)
        if found is None or found == shown:
            continue
        with suppress(httpx.HTTPError, PrefectException):  # the next one may succeed
            percent = 100 * found.done / found.total
            if artifact is None:
                made = create_progress_artifact(percent, key=key, description=describe(found))
                assert isinstance(made, UUID)  # no coroutine: no event loop runs here
                artifact = made
            else:
                update_progress_artifact(artifact, percent, description=describe(found))
            shown = found


def describe(progress: Progress) -> str:
    """Return step, loss and time left in one line."""
    line = f"step {progress.done:,} of {progress.total:,}, loss {progress.loss:.4f}"
    if progress.seconds_left is None:
        return line
    minutes = progress.seconds_left / 60
    return f"{line}, {minutes / 60:.1f} hours left" if minutes > 90 else f"{line}, {minutes:.0f} minutes left"


def _read(path: Path) -> Progress | None:
    with suppress(FileNotFoundError):  # no training, or none yet
        return Progress(**json.loads(path.read_text("utf-8")))
    return None


def _key(stage: str) -> str:
    """Return the key of the artifact; Prefect takes small letters, digits and dashes."""
    return re.sub("[^a-z0-9-]+", "-", f"progress-{stage.lower()}")
