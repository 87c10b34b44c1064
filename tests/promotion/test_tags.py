import socket
import time
from pathlib import Path

import psutil
import pytest
from toy_project import run_in

from bertline.promotion import tags


def speaking_to(url: str) -> list[int]:
    """Return the processes that have `url` among their arguments."""
    return [each.pid for each in psutil.process_iter(["cmdline"]) if url in (each.info["cmdline"] or ())]


def test_of_a_remote_that_never_answers_no_process_is_left(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tags, "_REMOTE_SECONDS", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/model.git"
        run_in(project, "git", "remote", "add", "origin", url)
        tags.require_all_tags(project)
        waiting = time.monotonic() + 10
        while speaking_to(url) and time.monotonic() < waiting:
            time.sleep(0.1)
        assert speaking_to(url) == []
