import json
from pathlib import Path

import pytest

from bertline.core import progress_file
from bertline.core.progress_file import PROGRESS_FILE, ProgressWriter


def test_the_file_has_the_step_the_loss_and_once_it_is_known_the_time_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "progress.json"
    monkeypatch.setenv(PROGRESS_FILE, str(path))
    monkeypatch.setattr(progress_file, "SECONDS", 0)
    writer = ProgressWriter()
    writer.update(1, 4, 0.5)
    first = json.loads(path.read_text())
    assert first == {"done": 1, "total": 4, "loss": 0.5, "seconds_left": None}
    writer.update(4, 4, 0.25)
    assert json.loads(path.read_text()) == {"done": 4, "total": 4, "loss": 0.25, "seconds_left": 0}
    assert [each.name for each in tmp_path.iterdir()] == ["progress.json"]


def test_nothing_is_written_within_the_first_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PROGRESS_FILE, str(tmp_path / "progress.json"))
    monkeypatch.setattr(progress_file, "SECONDS", 3600)
    ProgressWriter().update(1, 4, 0.5)
    assert [*tmp_path.iterdir()] == []


def test_without_the_variable_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PROGRESS_FILE, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(progress_file, "SECONDS", 0)
    ProgressWriter().update(1, 4, 0.5)
    assert [*tmp_path.iterdir()] == []
