"""How far a stage is, for a program that started it and shows that: a file which the environment names.

Guarantees: whoever reads the file finds it whole; without the variable, or within `SECONDS` of the last time,
nothing is written.
"""

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

PROGRESS_FILE = "BERTLINE_PROGRESS_FILE"
"""Environment variable: the file that gets the progress as JSON, the fields of `Progress`."""

SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Progress:
    """The steps of a training that are done."""

    done: int
    total: int
    loss: float  # of the last step
    seconds_left: float | None  # None: not known yet


class ProgressWriter:
    """Writes the file that the environment names."""

    def __init__(self) -> None:
        path = os.environ.get(PROGRESS_FILE)
        self._path = Path(path) if path else None
        self._written = time.monotonic()
        self._first: tuple[float, int] | None = None

    def update(self, done: int, total: int, loss: float) -> None:
        """Say that `done` of `total` steps are done."""
        now = time.monotonic()
        if self._path is None or now - self._written < SECONDS:
            return
        self._written = now
        left = None
        if self._first is None:  # a resumed training has repeated its steps at once until here
            self._first = (now, done)
        elif done > self._first[1]:
            left = (now - self._first[0]) / (done - self._first[1]) * (total - done)
        progress = Progress(done=done, total=total, loss=loss, seconds_left=left)
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps(asdict(progress)), "utf-8")
        new.replace(self._path)
