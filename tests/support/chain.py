"""The stages on the way to a model, run one after the other in the current folder.

`start` and `run` run the command of dvc.yaml in a fork of a process that has imported torch and transformers,
which takes seconds. All else is the same: params.yaml is checked too.
"""

import os
import runpy
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.forks import fork

FLAGS = {
    "ingest": "--rows data/ingested/rows.parquet --report reports/ingest.json",
    "split": "--rows data/ingested/rows.parquet --out data/splits --report reports/split.json",
    "tokenize": "--splits data/splits --out data/tokens --report reports/tokenize.json",
    "adapt": "--tokens data/tokens --model models/adapted --report reports/adapt",
    "finetune": "--tokens data/tokens --adapted models/adapted --teacher models/teacher"
    " --model models/finetuned --report reports/finetune",
    "export": "--validation data/splits/validation.parquet --finetuned models/finetuned"
    " --exported models/exported --report reports/export",
}


class StageProcess:
    """The command of a stage that runs in a fork."""

    def __init__(self, stage: str) -> None:
        self._folder = TemporaryDirectory()
        self._out, self._err = (Path(self._folder.name, name) for name in ("stdout", "stderr"))
        self._out.touch()
        self._process = fork(_run_stage, stage, Path.cwd(), self._out, self._err)
        self.pid: int = self._process.pid

    def lines(self) -> Iterator[str]:
        """Yield the lines that the stage prints, as it prints them, until it ends."""
        with self._out.open() as file:
            while True:
                alive = self._process.is_alive()
                line = file.readline()
                if line:
                    yield line
                elif not alive:
                    return
                else:
                    time.sleep(0.01)

    def wait_for(self, start: str, *, times: int = 1) -> None:
        """Wait until so many printed lines begin with `start`."""
        found = (line for line in self.lines() if line.startswith(start))
        for _ in range(times):
            assert next(found, None) is not None, self._err.read_text()

    def send_signal(self, number: int) -> None:
        """Send a signal to the stage."""
        os.kill(self.pid, number)

    def wait(self) -> subprocess.CompletedProcess[str]:
        """Wait for the end of the stage; its exit status is negative if a signal ended it."""
        self._process.join(timeout=600)
        output, errors = (path.read_text() if path.exists() else "" for path in (self._out, self._err))
        return subprocess.CompletedProcess([], self._process.exitcode, output, errors)


def start(stage: str) -> StageProcess:
    """Start the command of `stage`."""
    return StageProcess(stage)


def run(stage: str) -> subprocess.CompletedProcess[str]:
    """Run the command of `stage` to its end."""
    return StageProcess(stage).wait()


def run_all(*stages: str) -> None:
    """Run the commands of `stages`; an error fails the test."""
    for stage in stages:
        done = run(stage)
        assert done.returncode == 0, done.stderr


def _run_stage(stage: str, folder: Path, out: Path, err: Path) -> None:
    os.chdir(folder)
    for path, stream in (out, sys.stdout), (err, sys.stderr):
        with path.open("w") as file:
            os.dup2(file.fileno(), stream.fileno())
    sys.argv[1:] = FLAGS[stage].split()
    runpy.run_module(f"bertline.stages.{stage}", run_name="__main__", alter_sys=True)
