"""What is wrong with this checkout, its remotes, its disk and its Prefect server: `bertline doctor`.

A line for each check: ok or WRONG, what was found, and the command that mends it. The exit status is 1 if
anything is wrong. It mends nothing itself.
"""

import argparse
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from prefect.client.orchestration import get_client

from bertline.project.deployments import Project
from bertline.project.supervisor import FOLDER, find_running
from bertline.registry import checkup
from bertline.registry.checkup import Finding, look
from flows import connection, server_checkup

_ERROR = re.compile(r"(?P<time>[\d:.]+) \| (?:ERROR|CRITICAL) *\| (?P<logger>.*?) - (?P<message>.*)")
_OF_RUNS = ("Flow run ", "Task run ")  # a run that failed shows this in the UI
_BUSY = "database is locked"  # SQLite refuses at once; Prefect tries again


def examine(root: Path) -> Iterable[Finding]:
    """Yield a finding for each check."""
    yield from checkup.examine(root)
    yield look("logs", lambda: check_logs(root))
    if connection.find_server(root) is None:
        line = "none is known: a run by hand brings its own; for a schedule: make up"
        yield Finding(check="server", line=line, is_wrong=False)
        return
    try:
        project = Project.read(root)
        with connection.server(root), get_client(sync_client=True) as client:
            yield from server_checkup.examine(client, project)
    except (ValueError, OSError) as error:
        yield Finding(check="server", line=" ".join(str(error).split()), is_wrong=True)


def check_logs(root: Path) -> str:
    """Check that the logs of what `make up` runs have no error since it started."""
    if find_running(root) is None:
        return "make up does not run here"
    for log in sorted((root / FOLDER).glob("*.log")):
        found = [
            each
            for each in _ERROR.finditer(log.read_text("utf-8", errors="replace"))
            if not each["logger"].startswith(_OF_RUNS) and _BUSY not in each["message"]
        ]
        if found:
            where, last = log.relative_to(root), found[-1]
            raise ValueError(
                f"{where} has {len(found)} errors, the last at {last['time']}: {last['message'][:120]}; "
                f"read: less {where}; a new log begins with: make down && make up"
            )
    return "no errors"


def main() -> int:
    """Print the findings and return the exit status."""
    parser = argparse.ArgumentParser(prog="bertline doctor", description=(__doc__ or "").partition("\n")[0])
    parser.parse_args()
    with connection.one_error() as outcome:
        for finding in examine(Path.cwd()):
            print(finding, flush=True)
            outcome.status |= finding.is_wrong
    return outcome.status


if __name__ == "__main__":
    sys.exit(main())
