"""Crash checkpoints: everything that a killed run needs to end in the same bits.

- A checkpoint is one safetensors file, renamed into place when it is complete. So a kill at any moment leaves
  the previous one.
- Checkpoints lie in a scratch folder outside DVC's outputs, under a key of everything that the result depends
  on. So a run never resumes from a checkpoint of other data, parameters or code.
- They stay until a run with another key starts, because DVC can still fail to store a finished model.
- None is written once the inputs of the stage have changed (`core.unchanged`).
- They hold no pickle.
"""

import json
import shutil
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from bertline.core.disk import require_space
from bertline.core.files import disk_errors, replacing
from bertline.core.lock import only_one
from bertline.core.unchanged import require_unchanged
from bertline.training.process_group import World

SCRATCH = Path(".bertline/checkpoints")
_LATER = {Path("models"): 5, Path(".dvc/cache"): 3}
"""How many models lie there in the end: weights and ONNX files, of `finetune`, `export` and `package`."""
_PACKAGE = Path(__file__).parents[1]


_OWN = {  # beside the folder and the params of the stage
    "finetune": [
        "head",
        "metrics/calibration.py",
        "metrics/classification.py",
        "metrics/temperature.py",
    ]
}


def training_code(stage: str) -> list[Path]:
    """Return the folders and files of code that the result of a training stage depends on, as in dvc.yaml."""
    shared = ("core", "encoder", "tokens", "training", "params/training.py")
    own = [f"stages/{stage}", f"params/{stage}.py", *_OWN.get(stage, ())]
    return [_PACKAGE / part for part in (*own, *shared)]


def only_training(scratch: Path, world: World) -> AbstractContextManager[object]:
    """Be the only training that writes checkpoints to `scratch` within the block; ValueError if another does.

    Another one can be running, because a stage goes on when the `dvc repro` that started it is killed.
    """
    if not world.is_main:
        return nullcontext()
    return only_one(scratch / "run.lock", "another training", Path.cwd())


class Checkpoints:
    """The latest checkpoint and the best weights of one training; once it is finished, its history instead.

    Args:
        key: stands for everything the run depends on; runs with another key are deleted from `scratch`.
        scratch: a folder for the runs of one stage.
        name: tells the trainings of one run apart, if it has several.
    """

    def __init__(self, key: str, scratch: Path = SCRATCH, name: str = "") -> None:
        self.folder = scratch / key / name
        for other in scratch.glob("*"):  # bounded: the scratch of one run at a time
            if other.name != key and other.is_dir():
                shutil.rmtree(other)
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in self.folder.iterdir():  # what a killed process did not get to delete
            if path.suffix != ".safetensors" or (self.finished and path.stem == "latest"):
                path.unlink()

    @property
    def found(self) -> bool:
        """Whether an interrupted run left a checkpoint to continue from."""
        return (self.folder / "latest.safetensors").exists() or self.finished

    @property
    def finished(self) -> bool:
        """Whether this training has been run to its end."""
        return (self.folder / "finished.safetensors").exists()

    def require_space(self, latest: int, best: int) -> None:
        """Raise an OSError unless a training fits on the disk whose checkpoints have these sizes, in bytes.

        A checkpoint is written beside the one that it replaces. The finished model is written when
        these are gone.
        """
        there = sum(path.stat().st_size for path in self.folder.iterdir())
        needs = {self.folder: 2 * latest + best - there} | {
            folder: models * best for folder, models in _LATER.items()
        }
        require_space(needs, f"a training of a model of {best / 1e6:,.1f} MB")

    def save(self, tensors: dict[str, torch.Tensor], state: dict[str, Any]) -> None:
        """Replace the latest checkpoint with tensors (on any device) and a state that JSON can hold."""
        self._write("latest", tensors, state)

    def load(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        """Return the latest checkpoint, on the CPU, or None."""
        return self._read("latest")

    def save_finished(self, tensors: dict[str, torch.Tensor], state: dict[str, Any]) -> None:
        """Replace the latest checkpoint, which is larger, with what a finished training keeps."""
        self._write("finished", tensors, state)
        (self.folder / "latest.safetensors").unlink(missing_ok=True)

    def load_finished(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Return what `save_finished` kept."""
        kept = self._read("finished")
        assert kept is not None, "ask only if `finished`"
        return kept

    def save_best(self, tensors: dict[str, torch.Tensor]) -> None:
        """Replace the best weights so far."""
        self._write("best", tensors, {})

    def load_best(self) -> dict[str, torch.Tensor]:
        """Return the best weights so far, on the CPU."""
        best = self._read("best")
        assert best is not None, "after an epoch there is a best one"
        return best[0]

    def _write(self, name: str, tensors: dict[str, torch.Tensor], state: dict[str, Any]) -> None:
        require_unchanged()  # first: the key may have been made from code that this process does not run
        copies: dict[str, torch.Tensor] = {}
        written = set()
        for key, tensor in tensors.items():
            copy = tensor.detach().cpu().contiguous()
            tied = copy.data_ptr() in written  # to another tensor, which safetensors refuses
            copies[key] = copy.clone() if tied else copy
            written.add(copy.data_ptr())
        with replacing(self.folder / f"{name}.safetensors", durable=True) as new, disk_errors():
            save_file(copies, new, metadata={"state": json.dumps(state)})

    def _read(self, name: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        path = self.folder / f"{name}.safetensors"
        if not path.exists():
            return None
        try:
            with safe_open(path, framework="pt") as file:
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
                return tensors, json.loads(file.metadata()["state"])
        except SafetensorError as error:
            raise ValueError(
                f"the checkpoint {path} is damaged ({error}); delete {self.folder} to start again"
            ) from error
