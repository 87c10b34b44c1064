from pathlib import Path

import pytest
import torch

from bertline.modeling.checkpoints import Checkpoints, run_key


def test_tensors_and_state_read_back_exactly(tmp_path: Path) -> None:
    tensors = {"a": torch.randn(3, 4), "b": torch.tensor(7.0), "c": torch.arange(5, dtype=torch.uint8)}
    Checkpoints("k", tmp_path).save(tensors, {"losses": [0.1, 1 / 3]})
    loaded = Checkpoints("k", tmp_path).load()
    assert loaded is not None
    assert all(torch.equal(loaded[0][name], tensors[name]) for name in tensors)
    assert loaded[1] == {"losses": [0.1, 1 / 3]}


def test_another_run_sees_nothing_and_clears_the_scratch(tmp_path: Path) -> None:
    Checkpoints("old", tmp_path).save({"a": torch.ones(2)}, {})
    assert Checkpoints("new", tmp_path).load() is None
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_trainings_of_one_run_stay_until_another_run_starts(tmp_path: Path) -> None:
    for name in ("1", "2"):
        Checkpoints("old", tmp_path, name).save({"a": torch.ones(2)}, {})
    assert Checkpoints("old", tmp_path, "1").found
    assert not Checkpoints("new", tmp_path, "1").found
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_what_a_write_left_when_it_was_killed_is_deleted(tmp_path: Path) -> None:
    checkpoints = Checkpoints("k", tmp_path)
    checkpoints.save({"a": torch.ones(2)}, {})
    for left in (".tmpXyZ", "latest.partial"):
        (checkpoints.folder / left).write_bytes(b"half a checkpoint")
    assert Checkpoints("k", tmp_path).found
    assert [path.name for path in checkpoints.folder.iterdir()] == ["latest.safetensors"]


def test_a_training_that_has_ended_keeps_no_more_than_its_end(tmp_path: Path) -> None:
    checkpoints = Checkpoints("k", tmp_path)
    checkpoints.save({"a": torch.ones(2)}, {})
    assert (checkpoints.found, checkpoints.ended) == (True, False)
    checkpoints.save_end({"b": torch.ones(1)}, {"epochs": 3})
    checkpoints.save({"a": torch.ones(2)}, {})  # as if it had been killed before this was deleted
    again = Checkpoints("k", tmp_path)
    assert (again.found, again.ended) == (True, True)
    assert [path.name for path in again.folder.iterdir()] == ["ended.safetensors"]
    assert again.load_end()[1] == {"epochs": 3}


def test_a_write_that_fails_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    checkpoints = Checkpoints("k", tmp_path)
    checkpoints.save({"a": torch.ones(2)}, {"step": 1})
    with pytest.raises(TypeError):
        checkpoints.save({"a": torch.ones(2)}, {"step": object()})
    loaded = checkpoints.load()
    assert loaded is not None
    assert loaded[1] == {"step": 1}
    assert [path.name for path in checkpoints.folder.iterdir()] == ["latest.safetensors"]


def test_a_damaged_checkpoint_says_what_to_delete(tmp_path: Path) -> None:
    checkpoints = Checkpoints("k", tmp_path)
    checkpoints.save({"a": torch.ones(2)}, {})
    with (checkpoints.folder / "latest.safetensors").open("r+b") as file:
        file.truncate(20)
    with pytest.raises(ValueError, match=r"latest.safetensors is damaged .*; delete .* to start anew"):
        checkpoints.load()


def test_the_key_follows_texts_file_contents_and_code(tmp_path: Path) -> None:
    data, code = tmp_path / "tokens", tmp_path / "package"
    for folder in (data, code):
        folder.mkdir()
    (data / "train.arrow").write_text("1")
    (code / "__init__.py").write_text("")
    (code / "loop.py").write_text("a = 1")
    keys = [run_key("params", data, code)]
    (code / "__pycache__").mkdir()
    (code / "__pycache__/loop.pyc").write_text("x")
    assert run_key("params", data, code) == keys[0]
    (code / "loop.py").write_text("a = 2")
    keys.append(run_key("params", data, code))
    (data / "train.arrow").write_text("2")
    keys.append(run_key("params", data, code))
    keys.append(run_key("other", data, code))
    assert len(set(keys)) == 4
