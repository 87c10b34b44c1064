from pathlib import Path

import pytest
import torch

from bertline.core import unchanged
from bertline.training.checkpoints import Checkpoints


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
    for left in (".tmpXyZ", ".latest.safetensors.new"):
        (checkpoints.folder / left).write_bytes(b"half a checkpoint")
    assert Checkpoints("k", tmp_path).found
    assert [path.name for path in checkpoints.folder.iterdir()] == ["latest.safetensors"]


def test_a_finished_training_keeps_only_its_history_and_best_weights(tmp_path: Path) -> None:
    checkpoints = Checkpoints("k", tmp_path)
    checkpoints.save({"a": torch.ones(2)}, {})
    assert (checkpoints.found, checkpoints.finished) == (True, False)
    checkpoints.save_finished({"b": torch.ones(1)}, {"epochs": 3})
    checkpoints.save({"a": torch.ones(2)}, {})  # as if it had been killed before this was deleted
    again = Checkpoints("k", tmp_path)
    assert (again.found, again.finished) == (True, True)
    assert [path.name for path in again.folder.iterdir()] == ["finished.safetensors"]
    assert again.load_finished()[1] == {"epochs": 3}


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
    with pytest.raises(ValueError, match=r"latest.safetensors is damaged .*; delete .* to start again"):
        checkpoints.load()


def test_a_training_for_which_the_disk_is_too_small_is_refused_before_it_starts(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"k is too full: a training of a model of 1,000,000,000.0 MB needs "):
        Checkpoints("k", tmp_path).require_space(3 * 10**15, 10**15)


def test_no_checkpoint_is_written_once_the_inputs_of_the_stage_have_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_STAGE", "finetune")
    monkeypatch.setattr(unchanged, "_inputs", None)  # as it is again after the test
    (tmp_path / "dvc.yaml").write_text("stages: {finetune: {cmd: train, params: [finetune]}}")
    (tmp_path / "params.yaml").write_text("finetune: {learning_rate: 0.0003}")
    unchanged.remember_inputs()
    checkpoints = Checkpoints("key", tmp_path / "scratch")
    checkpoints.save({}, {"step": 1})
    (tmp_path / "params.yaml").write_text("finetune: {learning_rate: 0.0002}")
    for save in (checkpoints.save, checkpoints.save_finished):
        with pytest.raises(
            ValueError, match=r"^finetune\.learning_rate changed while finetune ran: run again$"
        ):
            save({}, {"step": 2})
    saved = checkpoints.load()
    assert saved is not None
    assert saved[1] == {"step": 1}
