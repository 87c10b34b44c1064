"""Two real processes over gloo, started by the real launcher; it and they run in forks.

Each start costs seconds: so one serves several tests.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bertline.encoder.classifier import load_classifier
from bertline.params.finetune import Params
from bertline.stages.tokenize.token_writer import Chunk, pack_ids, write_split
from bertline.tokens.manifest import Manifest
from bertline.tokens.truncation import Truncator
from bertline.training.launcher import launch
from tests.support.forked_stages import Environment
from tests.support.tiny import CLASSES, PROJECT, make_texts
from tests.support.trainings import finetune_one
from tests.support.waiting import wait_until_ended

MakeParams = Callable[..., Params]
Start = Callable[..., subprocess.CompletedProcess[str]]

SETTINGS = {"epochs": 1, "batch_size": 9, "learning_rate": 3e-3, "device": "cpu"}
"""12 steps over 100 rows: one batch is a single row, which two processes cannot share."""
CASES = {
    "compiled": {"compile": True},
    "micro": {
        "epochs": 2,
        "micro_batch": 2,
        "class_weights": "balanced",
        "ema_decay": 0.9,
        "unfreeze_epochs": 1,
    },
    "lora": {"lora_rank": 2, "r_drop": 0.5, "gradient_checkpointing": True, "unpadded": False},
}
PARALLELISMS = ("ddp", "fsdp")
BOTH = pytest.mark.parametrize("parallelism", PARALLELISMS)
LEARNT = pytest.mark.parametrize("case", CASES)


@pytest.fixture(scope="module")
def folder(tiny_encoder: Path, manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tokens, an encoder with dropout, and one without."""
    folder = tmp_path_factory.mktemp("distributed")
    rows = make_texts(131)
    truncator = Truncator(tiny_encoder, max_length=32, long_texts="head", stride=0)
    for name, part in (("train", rows[:100]), ("validation", rows[100:])):
        ids = pack_ids([f"{i:032x}" for i in range(len(part))])
        labels = np.array([CLASSES.index(label) for _, label in part])
        write_split(
            folder / f"{name}.arrow", [Chunk(ids, truncator.encode([text for text, _ in part]), labels)]
        )
    manifest.write(folder)
    copytree(tiny_encoder, folder / "dropout")
    copytree(tiny_encoder, folder / "exact")
    config = json.loads((folder / "exact/config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (folder / "exact/config.json").write_text(json.dumps(config))
    return folder


def training(
    name: str,
    make: MakeParams,
    *accident: int | str,
    encoder: str = "dropout",
    room: dict[str, int] | None = None,
    **changes: Any,
) -> dict[str, Any]:
    params = make(**{**SETTINGS, "processes": 2, **changes})
    return {
        "name": name,
        "encoder": encoder,
        "params": asdict(params),
        "accident": accident,
        "room": room or {},
    }


@pytest.fixture(scope="module")
def start(forked_stages: Environment) -> Start:
    def start(folder: Path, *trainings: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        """Run the command to its end, and see that nothing of it is left."""
        (folder / "trainings.json").write_text(json.dumps(trainings))
        command = [sys.executable, "-m", "tests.support.trainings", "--folder", str(folder)]
        ended = subprocess.run(
            command,
            cwd=PROJECT,
            env=forked_stages(PROJECT),
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        left = [int(path.read_text()) for path in folder.glob("*.pid")]
        assert len(left) == 2
        for each in left:  # a process looks several times a second whether its launcher is alive
            wait_until_ended(each)
        return ended

    return start


def errors(ended: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in ended.stderr.splitlines() if "error" in line.lower() or "Traceback" in line]


def losses(out: Path) -> list[float]:
    """Return the loss of every step, and every score of every epoch."""
    found = json.loads((out / "events.json").read_text())
    return [
        number for each in found for number in ([each["loss"]] if "loss" in each else each["scores"].values())
    ]


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "model/model.safetensors")


@pytest.fixture(scope="module")
def together(folder: Path, params: MakeParams, start: Start) -> Path:
    """Every case in two processes, and a training with dropout, which nothing interrupts; then an error."""
    trainings = [
        training(f"{parallelism}-{case}", params, encoder="exact", parallelism=parallelism, **changes)
        for parallelism in PARALLELISMS
        for case, changes in [*CASES.items()]
    ]
    trainings += [
        training(f"{parallelism}-whole", params, parallelism=parallelism) for parallelism in PARALLELISMS
    ]
    ended = start(folder, *trainings, training("nan", params, 2, 1, "diverges", checkpoint_every=1))
    (folder / "stderr").write_text(ended.stderr)
    assert errors(ended) == [
        "error: finetune_all: the loss is nan and the norm of its gradients nan at step 3; "
        "lower learning_rate (0.003) or raise warmup (0.1)"
    ]
    assert ended.returncode == 1
    return folder


@pytest.fixture(scope="module")
def alone(folder: Path, params: MakeParams) -> Path:
    """Every case in this process."""
    for case, changes in CASES.items():
        one = training(case, params, encoder="exact", processes=1, **changes)
        finetune_one(folder, folder / case, one)
    return folder


@BOTH
@LEARNT
def test_losses_and_scores_are_those_of_one_process(
    alone: Path, together: Path, parallelism: str, case: str
) -> None:
    assert losses(together / f"{parallelism}-{case}") == pytest.approx(losses(alone / case), rel=1e-4)


@BOTH
@LEARNT
def test_the_model_is_that_of_one_process(alone: Path, together: Path, parallelism: str, case: str) -> None:
    expected, found = weights(alone / case), weights(together / f"{parallelism}-{case}")
    assert list(found) == list(expected)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


@BOTH
def test_the_model_is_a_standard_one(together: Path, parallelism: str) -> None:
    model = load_classifier(together / f"{parallelism}-whole/model")
    with torch.inference_mode():
        assert model(torch.arange(5)[None]).logits.shape == (1, len(CLASSES))


def test_processes_draw_different_dropout(together: Path, alone: Path, params: MakeParams) -> None:
    latest = load_file(together / "nan/scratch/run/latest.safetensors")
    assert not latest["random.0.cpu"].equal(latest["random.1.cpu"])


def test_a_training_goes_on_in_the_same_bits_however_it_ended(
    together: Path, params: MakeParams, start: Start
) -> None:
    def cut(parallelism: str, *accident: int | str) -> dict[str, Any]:
        return training(f"{parallelism}-cut", params, *accident, parallelism=parallelism)

    killed = start(together, cut("fsdp", 7, 1, "process SIGKILL"))
    assert errors(killed) == [
        "error: finetune_all: process 1 was killed by SIGKILL; run the same command again to continue"
    ]
    assert killed.returncode == 1

    interrupted = start(together, cut("fsdp"), cut("ddp", 7, 0, "launcher SIGINT"))
    assert errors(interrupted) == ["error: finetune_all: interrupted; run the same command again to continue"]
    assert interrupted.returncode == 130

    orphaned = start(together, cut("ddp", 11, 0, "launcher SIGKILL"))
    assert orphaned.returncode == -signal.SIGKILL

    wrong = start(together, cut("ddp"), training("wrong", params, 1, 1, "wrong"))
    assert errors(wrong) == ["error: finetune_all: something is wrong here"]
    assert wrong.returncode == 1

    for parallelism in PARALLELISMS:
        cut_out, whole_out = together / f"{parallelism}-cut", together / f"{parallelism}-whole"
        assert losses(cut_out) == losses(whole_out)
        expected = weights(whole_out)
        assert all(each.equal(expected[name]) for name, each in weights(cut_out).items())


def test_when_memory_runs_out_all_processes_start_again_with_smaller_micro_batches(
    folder: Path, params: MakeParams, start: Start
) -> None:
    knobs = {"encoder": "exact", "batch_size": 32}
    finetune_one(folder, folder / "roomy", training("roomy", params, processes=1, **knobs))
    ended = start(
        folder,
        training("alone", params, room={"scores": 3}, **knobs),  # which others need not know
        training("scoring", params, room={"scores": 8}, parallelism="fsdp", **knobs),
        training("training", params, room={"steps": 4}, parallelism="fsdp", **knobs),
    )
    assert (ended.returncode, errors(ended)) == (0, [])
    restarts = [line for line in ended.stdout.splitlines() if "memory ran out in one of 2 processes" in line]
    assert [line.split("micro-batches of ")[1] for line in restarts] == [
        "8 texts in each",
        "4 texts in each",
    ]
    for name in ("alone", "scoring", "training"):
        assert losses(folder / name) == pytest.approx(losses(folder / "roomy"), rel=1e-4)
    steps = [each for each in json.loads((folder / "alone/events.json").read_text()) if "step" in each]
    assert {each["micro_batch"] for each in steps} == {32}


@pytest.mark.skipif(torch.cuda.device_count() > 1, reason="for machines without two GPUs")
def test_more_processes_than_gpus_are_an_error(params: MakeParams) -> None:
    with pytest.raises(ValueError, match=r"processes is 2, but this machine has \d GPUs"):
        launch(params(processes=2, device="cuda"))
