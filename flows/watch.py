"""Tell Prefect's server that files came into data/incoming/: `python -m flows.watch`, which `make up` runs.

Guarantees:

- A file counts once nothing in the folder has changed between two looks, so that a copy is complete.
- Each delivery is told once, also one that came while nobody watched: .bertline/watch.json has what was told.
- A server that does not answer is asked again at the next look.

It looks instead of being told, because a folder of another machine sends no notifications.
"""

import json
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.events import Event
from prefect.events.schemas.events import RelatedResource, Resource

from bertline.core.files import replacing
from bertline.project.deployments import Project
from bertline.project.layout import SCRATCH
from bertline.project.signals import interrupt_on_signals
from bertline.rows.incoming import INCOMING, kind_of
from flows.connection import one_error, server

DELIVERY = "bertline.delivery"
TOLD = SCRATCH / "watch.json"
_SECONDS = 10.0  # between two looks

_Files = dict[str, list[int]]  # path below data/incoming/ to size and time of change


class Watcher:
    """What was in data/incoming/ of `root` at the last look, and what was told."""

    def __init__(self, root: Path) -> None:
        self._folder = root / INCOMING
        self._told_file = root / TOLD
        self._last: _Files | None = None

    def look(self) -> list[str]:
        """Return the files that are new or changed since the last delivery; none while files still change."""
        now = self._files()
        last, self._last = self._last, now
        told = self._told()
        return [path for path, what in now.items() if told.get(path) != what] if now == last else []

    def remember(self) -> None:
        """Keep the files of the last look as told."""
        self._remember(self._last or {})

    def leave_out(self, paths: Iterable[Path]) -> None:
        """Keep these files, as they are now, as told: whoever fetched them knows of them."""
        told = {path.resolve().relative_to(self._folder.resolve()).as_posix() for path in paths}
        self._remember({path: what for path, what in self._files().items() if path in told})

    def _remember(self, files: _Files) -> None:
        self._told_file.parent.mkdir(exist_ok=True)
        with replacing(self._told_file, writer=str(os.getpid())) as new:
            new.write_text(json.dumps(self._told() | files), "utf-8")

    def _files(self) -> _Files:
        found: _Files = {}
        for path in sorted(self._folder.rglob("*")):
            try:
                kind_of(path)
                if path.is_file() and not path.name.startswith("."):
                    stat = path.stat()
                    found[path.relative_to(self._folder).as_posix()] = [stat.st_size, stat.st_mtime_ns]
            except (ValueError, FileNotFoundError):  # no kind of file that is read; it is gone already
                continue
        return found

    def _told(self) -> _Files:
        try:
            told: _Files = json.loads(self._told_file.read_text("utf-8"))
        except (FileNotFoundError, ValueError):  # nothing was told yet; it was cut off by a full disk
            return {}
        return told


def tell_delivery(client: SyncPrefectClient, project: str, files: list[str]) -> None:
    """Send the event on which `triggers` of prefect.yaml start a retraining."""
    event = Event(
        event=DELIVERY,
        resource=Resource({"prefect.resource.id": f"bertline.project.{project}"}),
        related=[
            RelatedResource({"prefect.resource.id": f"prefect.tag.{project}", "prefect.resource.role": "tag"})
        ],
        payload={"files": files},
    )
    client.request("POST", "/events", json=[event.model_dump(mode="json")]).raise_for_status()


def watch(root: Path, seconds: float = _SECONDS) -> None:
    """Look every so many seconds, until this process is interrupted."""
    project, watcher = Project.read(root).name, Watcher(root)
    while True:
        if files := watcher.look():
            try:
                with get_client(sync_client=True) as client:
                    tell_delivery(client, project, files)
            except httpx.HTTPError as error:
                print(f"the Prefect server cannot be told yet ({error})", flush=True)
            else:
                watcher.remember()
                print(f"told the Prefect server of {', '.join(files)}", flush=True)
        time.sleep(seconds)


def main() -> int:
    """Watch the current folder; return the exit status."""
    interrupt_on_signals()
    root = Path.cwd()
    with one_error() as outcome, server(root):
        watch(root)
    return outcome.status


if __name__ == "__main__":
    sys.exit(main())
