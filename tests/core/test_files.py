"""Files appear whole, with the mode that umask gives, whichever library writes them."""

import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from bertline.core.files import apply_umask, content_hash, replacing, write_json

MODES = {0o022: (0o644, 0o755), 0o077: (0o600, 0o700), 0o002: (0o664, 0o775)}


@pytest.fixture
def set_umask() -> Iterator[Callable[[int], object]]:
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", MODES)
def test_weights_have_the_mode_that_umask_gives(
    umask: int, tmp_path: Path, set_umask: Callable[[int], object]
) -> None:
    set_umask(umask)
    with replacing(tmp_path / "model.safetensors") as new:
        save_file({"x": np.zeros(3)}, new)
    assert mode(tmp_path / "model.safetensors") == MODES[umask][0]


@pytest.mark.parametrize("umask", MODES)
def test_a_folder_that_a_library_wrote_privately_gets_the_modes_that_umask_gives(
    umask: int, tmp_path: Path, set_umask: Callable[[int], object]
) -> None:
    set_umask(umask)
    (tmp_path / "inner").mkdir(mode=0o700)
    (tmp_path / "inner" / "weights").touch(mode=0o600)
    apply_umask(tmp_path)
    assert (mode(tmp_path / "inner" / "weights"), mode(tmp_path / "inner")) == MODES[umask]
    assert [path.name for path in tmp_path.iterdir()] == ["inner"]


def test_a_link_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "target").touch(mode=0o600)
    (tmp_path / "folder" / "link").symlink_to(tmp_path / "target")
    apply_umask(tmp_path / "folder")
    assert mode(tmp_path / "target") == 0o600


def test_the_mode_of_a_file_that_users_own_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.touch()
    path.chmod(0o660)
    with replacing(path, keep_mode=True) as new:
        new.write_text("seed: 1")
    assert (mode(path), path.read_text()) == (0o660, "seed: 1")


def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(OSError, match="disk"), replacing(path) as new:
        new.write_text("half")
        raise OSError("the disk is full")
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("file", "old")]


def test_what_a_killed_process_left_is_written_over(tmp_path: Path) -> None:
    with replacing(tmp_path / "file") as new:
        name = new.name
    (tmp_path / name).touch(mode=0o400)
    with replacing(tmp_path / "file", durable=True) as new:
        new.write_text("whole")
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("file", "whole")]


def test_json_keeps_letters_and_numbers(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": "é", "a": [1, 0.1]})
    assert json.loads((tmp_path / "a.json").read_bytes()) == {"b": "é", "a": [1, 0.1]}
    assert (tmp_path / "a.json").read_text("utf-8").endswith("}\n")
    assert "é" in (tmp_path / "a.json").read_text("utf-8")


def test_a_hash_depends_on_texts_on_contents_of_files_and_on_code(tmp_path: Path) -> None:
    data, code = tmp_path / "tokens", tmp_path / "package"
    for folder in (data, code):
        folder.mkdir()
    (data / "train.arrow").write_text("1")
    (code / "__init__.py").write_text("")
    (code / "loop.py").write_text("a = 1")
    keys = [content_hash("params", data, code)]
    (code / "__pycache__").mkdir()
    (code / "__pycache__/loop.pyc").write_text("x")
    assert content_hash("params", data, code) == keys[0]
    (code / "loop.py").write_text("a = 2")
    keys.append(content_hash("params", data, code))
    (data / "train.arrow").write_text("2")
    keys.append(content_hash("params", data, code))
    keys.append(content_hash("other", data, code))
    assert len(set(keys)) == 4
