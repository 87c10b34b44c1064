"""A real lack of memory: the process may have only some megabytes more than it has."""

import ctypes
import json
import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from bertline.encoder.classifier import build_classifier
from bertline.encoder.collate import collate_padded
from bertline.encoder.oom import OutOfMemoryError, is_out_of_memory, memory_errors
from bertline.params.finetune import Params
from bertline.stages.finetune.prepare import fine_tune, prepare
from bertline.stages.finetune.task import predict
from bertline.tokens.arrays import TokenizedSplit
from bertline.tokens.manifest import Manifest
from bertline.training.checkpoints import Checkpoints
from bertline.training.history import Step
from bertline.training.micro_batching import MicroBatcher
from tests.support.forks import fork
from tests.support.tiny import CLASSES, make_texts, save_bert

needs_limits = pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's memory")


def allow(megabytes: int) -> None:
    """Let this process have so many megabytes more than it has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + megabytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))


def return_freed_memory() -> None:
    """Tell glibc to give freed memory back at once, so that what a step had is not what the next may have."""
    ctypes.CDLL("libc.so.6").mallopt(-3, 2**16)  # M_MMAP_THRESHOLD


@dataclass(frozen=True)
class Training:
    """A training in which the process may have `megabytes` more once `after` steps are done."""

    encoder: Path
    manifest: Manifest
    splits: dict[str, TokenizedSplit]
    params: Params
    scratch: Path

    def run(self, after: int | None = None, megabytes: int = 0) -> None:
        return_freed_memory()
        model = prepare(self.encoder, self.manifest, self.params, torch.device("cpu"))
        if after == 0:
            allow(megabytes)
        losses, micro_batches, error = [], [], ""
        try:
            checkpoints = Checkpoints("run", self.scratch / "checkpoints")
            for event in fine_tune(model, self.splits, self.params, checkpoints):
                if isinstance(event, Step):
                    losses.append(event.loss)
                    micro_batches.append(event.micro_batch)
                    if event.step == after:
                        allow(megabytes)
        except OutOfMemoryError as problem:
            error = str(problem)
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        weights = torch.cat([each.detach().flatten() for each in model.parameters()]).numpy()
        np.save(self.scratch / "weights.npy", weights)
        (self.scratch / "said.json").write_text(json.dumps([losses, micro_batches, error]))

    def ended(self, after: int | None = None, megabytes: int = 0) -> tuple[list[float], list[int], str]:
        """Return losses, micro-batches and error of a process that did this training."""
        process = fork(self.run, after, megabytes)
        process.join()
        assert process.exitcode == 0
        losses, micro_batches, error = json.loads((self.scratch / "said.json").read_text())
        return losses, micro_batches, error

    @property
    def weights(self) -> np.ndarray:
        weights: np.ndarray = np.load(self.scratch / "weights.npy")
        return weights


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save an encoder whose activations, a MB a token, count for more than its weights; without dropout."""
    folder = tmp_path_factory.mktemp("encoder")
    wide = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 65_536}
    no_dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    save_bert(folder, vocab_size=40, max_position_embeddings=32, **wide, **no_dropout)
    return folder


@pytest.fixture(scope="module")
def small(tokenized: Callable[..., TokenizedSplit]) -> dict[str, TokenizedSplit]:
    rows = make_texts(58)
    return {"train": tokenized(rows[:48]), "validation": tokenized(rows[48:])}


@pytest.fixture
def training(
    encoder: Path,
    manifest: Manifest,
    small: dict[str, TokenizedSplit],
    params: Callable[..., Params],
    tmp_path: Path,
) -> Callable[..., Training]:
    def training(name: str, **knobs: object) -> Training:
        settings = params(
            **{"device": "cpu", "epochs": 1, "batch_size": 16, "checkpoint_every": 100, **knobs}
        )
        return Training(encoder, manifest, small, settings, tmp_path / name)

    return training


@needs_limits
@pytest.mark.parametrize("unpadded", [True, False])
def test_a_step_that_does_not_fit_is_computed_in_micro_batches_with_the_same_losses(
    training: Callable[..., Training], unpadded: bool
) -> None:
    knobs = {"unpadded": unpadded, "class_weights": "balanced", "learning_rate": 1e-4}
    whole, short = training("whole", **knobs), training("short", **knobs)
    losses, micro_batches, _ = whole.ended()
    assert set(micro_batches) == {16}
    fewer_losses, fewer, error = short.ended(after=1, megabytes=40)
    assert error == ""
    assert fewer[0] == 16
    assert fewer[-1] < 16
    np.testing.assert_allclose(fewer_losses, losses, rtol=1e-4)
    np.testing.assert_allclose(short.weights, whole.weights, atol=2e-4)


@needs_limits
def test_one_text_too_large_says_so_and_the_next_run_continues_to_the_same_bits(
    training: Callable[..., Training],
) -> None:
    whole, short = training("whole", epochs=2), training("short", epochs=2)
    losses, _, error = short.ended(after=4, megabytes=2)
    assert "one text does not fit into memory; read less of it (tokenize.max_length" in error
    assert len(losses) == 4
    assert short.ended()[0] == whole.ended()[0]
    np.testing.assert_array_equal(short.weights, whole.weights)


def predict_short(encoder: Path, split: TokenizedSplit, megabytes: int, out: Path) -> None:
    return_freed_memory()
    torch.manual_seed(0)
    model: PreTrainedModel = build_classifier(encoder, CLASSES)
    collate = collate_padded(model.config)
    whole = predict(model, split, len(split), collate)
    allow(megabytes)
    with pytest.raises(RuntimeError, match="allocate memory"):  # the shortage is real
        torch.zeros(4 * megabytes * 2**18)
    np.save(out, np.stack([whole, predict(model, split, len(split), collate)]))


@needs_limits
def test_predictions_that_do_not_fit_are_computed_in_micro_batches(
    encoder: Path, small: dict[str, TokenizedSplit], tmp_path: Path
) -> None:
    process = fork(predict_short, encoder, small["train"], 40, tmp_path / "logits.npy")
    process.join()
    assert process.exitcode == 0
    whole, in_parts = np.load(tmp_path / "logits.npy")
    np.testing.assert_allclose(in_parts, whole, rtol=1e-4, atol=1e-5)


ASK_TOO_MUCH: dict[str, Callable[[], Any]] = {
    "torch": lambda: torch.empty(2**60, dtype=torch.uint8),
    "numpy": lambda: np.empty(2**60, dtype=np.uint8),
    "python": lambda: bytes(2**60),
}


@pytest.mark.parametrize("ask", ASK_TOO_MUCH.values(), ids=ASK_TOO_MUCH.keys())
def test_every_librarys_error_is_recognised_as_out_of_memory(ask: Callable[[], Any]) -> None:
    with pytest.raises((RuntimeError, MemoryError)) as caught:
        ask()
    assert is_out_of_memory(caught.value)
    with pytest.raises(OutOfMemoryError, match="smaller micro-batches do not help"), memory_errors():
        ask()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpus_error_is_recognised_as_out_of_memory() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50, dtype=torch.uint8, device="cuda")
    assert is_out_of_memory(caught.value)


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    calls = []

    def multiply(in_parts: list[np.ndarray]) -> torch.Tensor:
        calls.append(in_parts)
        return torch.ones(2, 3) @ torch.ones(2, 3)

    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        MicroBatcher(8).run(np.arange(8), multiply)
    assert len(calls) == 1
    with pytest.raises(RuntimeError, match="cannot be multiplied"), memory_errors():
        multiply([])


def test_rows_are_halved_until_they_fit_and_stay_so() -> None:
    micro_batcher, tried = MicroBatcher(100), []

    def at_most_three(in_parts: list[np.ndarray]) -> list[int]:
        tried.append(len(in_parts[0]))
        if len(in_parts[0]) > 3:
            ASK_TOO_MUCH["torch"]()
        return [int(row) for part in in_parts for row in part]

    assert micro_batcher.run(np.arange(9), at_most_three) == list(range(9))
    assert tried == [9, 5, 3]
    assert micro_batcher.run(np.arange(20), at_most_three) == list(range(20))
    assert tried == [9, 5, 3, 3]
