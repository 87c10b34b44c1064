"""Crash checkpoints: everything a killed run needs to end in the same bits.

One safetensors file per checkpoint, renamed into place when it is complete, so a kill at any moment
leaves the previous one. They live in a scratch folder outside DVC's outputs, under a key of everything
the result depends on: a checkpoint of other data, parameters or code is never seen, let alone resumed.
They stay until a run with another key starts, because DVC can still fail to store a finished model.
No pickle.
"""

import hashlib
import json
import os
import shutil
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from bertline.exclusive import only_one
from bertline.modeling.disk import disk_errors
from bertline.modeling.distributed import World

SCRATCH = Path(".bertline/checkpoints")


def run_key(*parts: str | Path) -> str:
    """Return a short hash over texts, files and the files of folders."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            files, text = [], part
        else:
            files = sorted(part.rglob("*.py" if (part / "__init__.py").exists() else "*")) or [part]
            text = part.name
        digest.update(f"{len(text)}:{text}".encode())
        for file in files:
            if file.is_file():
                with file.open("rb") as stream:
                    digest.update(file.name.encode() + hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]


def only_training(scratch: Path, world: World) -> AbstractContextManager[None]:
    """Be the only training that writes checkpoints to `scratch` within the block; ValueError if another does.

    One may: a stage goes on when the `dvc repro` that started it is killed.
    """
    if not world.is_main:
        return nullcontext()
    return only_one(scratch / "run.lock", "another training", Path.cwd())


class Checkpoints:
    """The latest checkpoint of one training, or what is left of it in the end, and its best weights so far.

    Args:
        key: of the run; whatever lies under another one in `scratch` is deleted.
        scratch: a folder for the runs of one stage.
        name: of one of several trainings of the run.
    """

    def __init__(self, key: str, scratch: Path = SCRATCH, name: str = "") -> None:
        self.folder = scratch / key / name
        for other in scratch.glob("*"):  # bounded: the scratch of one run at a time
            if other.name != key and other.is_dir():
                shutil.rmtree(other)
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in self.folder.iterdir():  # what was to be gone when the process was killed
            if path.suffix != ".safetensors" or (self.ended and path.stem == "latest"):
                path.unlink()

    @property
    def found(self) -> bool:
        """Whether an interrupted run left a checkpoint to continue from."""
        return (self.folder / "latest.safetensors").exists() or self.ended

    @property
    def ended(self) -> bool:
        """Whether this training has come to its end."""
        return (self.folder / "ended.safetensors").exists()

    def save(self, tensors: dict[str, torch.Tensor], state: dict[str, Any]) -> None:
        """Replace the latest checkpoint with tensors (any device) and JSON-able state."""
        self._write("latest", tensors, state)

    def load(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        """Return the latest checkpoint, on the CPU, or None."""
        return self._read("latest")

    def save_end(self, tensors: dict[str, torch.Tensor], state: dict[str, Any]) -> None:
        """Keep this in place of the latest checkpoint, which is larger: the training has ended."""
        self._write("ended", tensors, state)
        (self.folder / "latest.safetensors").unlink(missing_ok=True)

    def load_end(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Return what a training that has ended left."""
        end = self._read("ended")
        assert end is not None, "whoever asks knows that it has ended"
        return end

    def save_best(self, tensors: dict[str, torch.Tensor]) -> None:
        """Replace the best weights so far."""
        self._write("best", tensors, {})

    def load_best(self) -> dict[str, torch.Tensor]:
        """Return the best weights so far, on the CPU."""
        best = self._read("best")
        assert best is not None, "an epoch has ended, so there is a best one"
        return best[0]

    def _write(self, name: str, tensors: dict[str, torch.Tensor], state: dict[str, Any]) -> None:
        partial = self.folder / f"{name}.partial"
        copies: dict[str, torch.Tensor] = {}
        written = set()
        for key, tensor in tensors.items():
            copy = tensor.detach().cpu().contiguous()
            tied = copy.data_ptr() in written  # to another one, which safetensors refuses
            copies[key] = copy.clone() if tied else copy
            written.add(copy.data_ptr())
        try:
            with disk_errors():
                save_file(copies, partial, metadata={"state": json.dumps(state)})
            with partial.open("rb") as stream:
                os.fsync(stream.fileno())
            partial.replace(self.folder / f"{name}.safetensors")
        except Exception:
            partial.unlink(missing_ok=True)  # a full disk needs the room, and the last checkpoint stays
            raise

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
                f"the checkpoint {path} is damaged ({error}); delete {self.folder} to start anew"
            ) from error
