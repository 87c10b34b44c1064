"""What `make run` shows of a flow: what happened, without Prefect's and DVC's housekeeping.

Only the terminal is tamed: the run's own log, as the UI shows it, has everything.
"""

import logging
from pathlib import Path

import prefect
from prefect.logging.handlers import PrefectConsoleHandler

_PREFECT = str(Path(prefect.__file__).parent)
_RUNS = ("prefect.flow_runs", "prefect.task_runs")
_HOUSEKEEPING = ("Running stage ", "> ", "Updating lock file ", "Generating lock file ")


def tame() -> None:
    """Make the terminal show the story of the run only, for the rest of the process."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, PrefectConsoleHandler):
            handler.addFilter(_is_story)
            handler.setFormatter(_Line())


def _is_story(record: logging.LogRecord) -> bool:
    if record.pathname.startswith(_PREFECT):  # how a run ended is told by the summary or the error
        return record.levelno >= logging.WARNING and record.name not in _RUNS
    return not record.getMessage().startswith(_HOUSEKEEPING)


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        who = getattr(record, "task_run_name", None) or getattr(record, "flow_name", None) or record.name
        return f"{self.formatTime(record, '%H:%M:%S')}  {who:<10}  {record.getMessage()}"
