"""The lines of a run: what its log in Prefect's UI shows, and what the terminal shows.

Both have the lines of the stages and of our tasks, and Prefect's warnings. The level in prefect.toml silences
the routine of Prefect, its worker included. A mistake of the user has one line, and no traceback.
"""

import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import prefect
import prefect.runtime
from prefect.logging import get_run_logger
from prefect.logging.handlers import APILogHandler, PrefectConsoleHandler
from prefect.logging.loggers import LoggingAdapter, PrefectLogAdapter
from rich.console import Console

_OURS = logging.getLogger("bertline.runs")
_PREFECT = str(Path(prefect.__file__).parent)
_RUNS = ("prefect.flow_runs", "prefect.task_runs")


def run_logger() -> LoggingAdapter:
    """Return the logger of the current flow or task run, which tells our lines from Prefect's."""
    if not _OURS.handlers:
        _OURS.setLevel(logging.INFO)
        _OURS.addHandler(APILogHandler())
    theirs = get_run_logger()
    assert isinstance(theirs, PrefectLogAdapter)
    extra = theirs.extra or {}
    name = str(extra.get("task_run_name") or extra.get("flow_name"))  # for the log of the worker
    return PrefectLogAdapter(_OURS.getChild(name), extra)


def prepare_output() -> None:
    """Prepare the output of the current flow run, for the rest of the process.

    Tracebacks of errors that the state of the run explains are left out. A run of a deployment goes on when
    the worker that reads its output is gone; rich would end it.
    """
    for handler in _handlers():
        if _explains not in handler.filters:
            handler.addFilter(_explains)
    if prefect.runtime.deployment.id:
        Console.on_broken_pipe = _write_nowhere  # type: ignore[method-assign, assignment]


def quiet_console() -> None:
    """Hide Prefect's routine lines from the terminal for the rest of the process."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, PrefectConsoleHandler):
            handler.addFilter(_is_shown)
            handler.setFormatter(_Line())


def _write_nowhere(_: Console) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _handlers() -> Iterator[logging.Handler]:
    for name in (None, *_RUNS):
        yield from logging.getLogger(name).handlers


def _explains(record: logging.LogRecord) -> bool:
    """Return whether the record tells more than the state of its run, which has the message of an error."""
    if record.name not in _RUNS or not record.exc_info:
        return True
    error = record.exc_info[1]
    return error is not None and not isinstance(error, ValueError | OSError)


def _is_shown(record: logging.LogRecord) -> bool:
    """Return whether the record is ours, or a warning of Prefect's.

    How a run ended is left out: the summary or the error shows it.
    """
    own = not record.pathname.startswith(_PREFECT)
    return own or (record.levelno >= logging.WARNING and record.name not in _RUNS)


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        who = getattr(record, "task_run_name", None) or getattr(record, "flow_name", None) or record.name
        return f"{self.formatTime(record, '%H:%M:%S')}  {who:<10}  {record.getMessage()}"
