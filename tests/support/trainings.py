"""A command that runs trainings one after the other, as a stage would: in several processes if asked to.

`folder` holds tokens, encoders and trainings.json: of each its name, encoder, parameters, an accident
(step, process, what) that is to happen, and how many texts process 1 has room for, in steps or in scores.
"""

import json
import os
import signal
import time
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from torch import OutOfMemoryError, device, nn

from bertline.core.stage_command import run
from bertline.params.finetune import Params
from bertline.training.launcher import launch

_QUICK = {"dynamic": True, "backend": "aot_eager"}
"""Arguments of torch.compile that write no C++, which would take half a minute in each process."""


def finetune_all(*, folder: Path) -> None:
    """Run the trainings of `folder`."""
    trainings = json.loads((folder / "trainings.json").read_text())
    params = Params(**trainings[0]["params"])
    if launch(params):
        return
    from bertline.training.process_group import process_group

    with process_group(params) as world:
        (folder / f"{world.rank}.pid").write_text(str(os.getpid()))
        for each in trainings:
            finetune_one(folder, folder / each["name"], each)


def finetune_one(folder: Path, out: Path, training: dict[str, Any]) -> None:
    """Write the trained model and its events to `out`."""
    # Imported here: the launching process does not need them and starts faster.
    from bertline.encoder.classifier import save_classifier
    from bertline.stages.finetune.calibration import calibrate
    from bertline.stages.finetune.prepare import fine_tune, prepare
    from bertline.tokens.arrays import read_split
    from bertline.tokens.manifest import Manifest
    from bertline.training.checkpoints import Checkpoints
    from bertline.training.history import Step
    from bertline.training.process_group import World
    from bertline.training.torch_compile import COMPILE_OPTIONS

    params, world = Params(**training["params"]), World.current()
    splits = {split: read_split(folder / f"{split}.arrow") for split in ("train", "validation")}
    with world.main_first():
        checkpoints = Checkpoints("run", out / "scratch")
    encoder = folder / training["encoder"]
    model = prepare(encoder, Manifest.read(folder), params, device("cpu"))
    events = []
    if world.rank == 1:
        model.register_forward_pre_hook(partial(_run_out, training["room"]), with_kwargs=True)
    with patch.dict(COMPILE_OPTIONS, _QUICK, clear=True):
        for event in fine_tune(model, splits, params, checkpoints):
            events.append(vars(event))
            if isinstance(event, Step) and (event.step, world.rank) == tuple(training["accident"][:2]):
                _happen(training["accident"][2], model)
        calibrate(model, splits["train"], params)  # there are too few validation rows
    if world.is_main:
        save_classifier(model, encoder, 32, out / "model")
        (out / "events.json").write_text(json.dumps(events))


def _happen(accident: str, model: nn.Module) -> None:
    if accident == "wrong":
        raise ValueError("something is wrong here")
    if accident == "diverges":
        for weight in model.parameters():
            weight.detach().fill_(float("nan"))
        return
    victim, end = accident.split()
    os.kill(os.getpid() if victim == "process" else os.getppid(), getattr(signal, end))
    time.sleep(60)


def _run_out(room: dict[str, int], model: nn.Module, _: object, inputs: dict[str, Any]) -> None:
    """Run out of memory: with a real limit, how many texts fit would differ between machines."""
    most = room.get("steps" if model.training else "scores")
    if most and len(inputs.get("cu_seqlens", ())) - 1 > most:
        raise OutOfMemoryError


if __name__ == "__main__":
    run(finetune_all)
