"""`bertline down`: stop what `bertline up` has started."""

from pathlib import Path


def down() -> None:
    """Stop the server, the worker with its run, and the report pages. The next run continues that one."""
    from bertline.project.supervisor import stop_running

    print("everything has stopped" if stop_running(Path.cwd()) else "nothing was running")
