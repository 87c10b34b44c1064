"""Steps that are recorded and replayed on a GPU against steps that are not."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import TRAINING, save_bert
from torch import Tensor

from bertline.modeling.adapting import build_pretraining, build_task
from bertline.modeling.checkpoints import Checkpoints
from bertline.modeling.encoder import make_deterministic
from bertline.modeling.finetuning import fine_tune, prepare
from bertline.modeling.history import Step
from bertline.modeling.recording import Recorder
from bertline.modeling.tokens import Manifest, TokenizedSplit
from bertline.modeling.training import TrainingDivergedError, train
from bertline.params.adapt import Params as Adapt
from bertline.params.finetune import Params

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

Splits = dict[str, TokenizedSplit]
MakeParams = Callable[..., Params]
Learn = Callable[..., list[Tensor]]
CUDA = torch.device("cuda")


@pytest.fixture(autouse=True)
def compiled_anew() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def replays(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Grow by one with every step that is replayed."""
    found: list[None] = []
    replay = Recorder.replay

    def count(*args: object) -> Tensor:
        found.append(None)
        return replay(*args)

    monkeypatch.setattr(Recorder, "replay", count)
    return found


@pytest.fixture
def learn(
    tiny_encoder: Path, splits: Splits, manifest: Manifest, params: MakeParams, tmp_path: Path
) -> Learn:
    """Return the weights that a training ends in; of the same `name`, it continues."""

    def learn(name: str, until: int | None = None, **changes: object) -> list[Tensor]:
        settings = params(device="cuda", epochs=3, **changes)
        model = prepare(tiny_encoder, manifest, settings, CUDA)
        taught = np.eye(3, dtype=np.float32)[splits["train"].labels] if settings.distillation else None
        for event in fine_tune(model, splits, settings, Checkpoints("run", tmp_path / name), taught):
            if isinstance(event, Step) and event.step == until:
                break
        return [each.detach().cpu() for each in model.state_dict().values()]

    return learn


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"compile": True},
        {"class_weights": "balanced", "loss": "focal", "averaging": 0.9},
        {"r_drop": 1.0, "label_smoothing": 0.1},
        {"distillation": 0.5},
        {"unfreeze_epochs": 2, "layer_decay": 0.9},
        {"frozen_layers": 1, "cache_activations": True},
        {"lora_rank": 2},
    ],
    ids=lambda changes: "-".join(changes) or "plain",
)
def test_recorded_steps_leave_the_bits_of_steps_that_are_not(
    learn: Learn, replays: list[None], changes: dict[str, object]
) -> None:
    plain = learn("plain", cuda_graphs=False, **changes)
    assert not replays
    recorded = learn("recorded", **changes)
    assert len(replays) > 10
    assert all(map(torch.equal, plain, recorded))


def test_a_recorded_run_that_is_killed_ends_in_the_same_bits(learn: Learn, replays: list[None]) -> None:
    whole = learn("whole")
    for steps in (13, 24):
        learn("killed", until=steps)
    continued = learn("killed")
    assert len(replays) > 30
    assert all(map(torch.equal, whole, continued))


@pytest.mark.parametrize("objective", ["mlm", "mlm_nsp"])
def test_recorded_steps_of_pre_training_leave_the_same_bits(
    tiny_encoder: Path,
    splits: Splits,
    manifest: Manifest,
    tmp_path: Path,
    replays: list[None],
    objective: str,
) -> None:
    manifest.write(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((tiny_encoder / name).read_bytes())
    ends = []
    for recorded in (True, False):
        kinds = {"masked": 0.15, "whole_words": False, "fresh": False, "batch_size": 8, "device": "cuda"}
        params = Adapt(**TRAINING | kinds | {"objective": objective, "cuda_graphs": recorded})
        make_deterministic(1, 1)
        model = build_pretraining(tiny_encoder, tmp_path, params)
        task = build_task(model, splits, tmp_path, params)
        list(train(model.to(CUDA), task, params, Checkpoints("run", tmp_path / f"{recorded}")))
        ends.append([each.detach().cpu() for each in model.state_dict().values()])
    assert len(replays) > 10
    assert all(map(torch.equal, *ends))


def test_a_recorded_step_that_diverges_leaves_the_weights_as_they_were(
    tiny_encoder: Path, splits: Splits, manifest: Manifest, params: MakeParams, tmp_path: Path
) -> None:
    settings = params(device="cuda", epochs=3)
    model = prepare(tiny_encoder, manifest, settings, CUDA)
    run = fine_tune(model, splits, settings, Checkpoints("run", tmp_path))
    with pytest.raises(TrainingDivergedError, match="at step 35"):
        for event in run:
            if isinstance(event, Step) and event.step == 34:
                model.classifier.bias.detach().fill_(float("inf"))
                before = [each.detach().clone() for each in model.parameters()]
    assert all(map(torch.equal, before, model.parameters()))


def test_a_batch_that_does_not_fit_a_gpu_is_computed_in_parts(
    splits: Splits, manifest: Manifest, params: MakeParams, tmp_path: Path
) -> None:
    save_bert(tmp_path, vocab_size=64, hidden_size=64, intermediate_size=4096, num_hidden_layers=3)
    settings = params(device="cuda", batch_size=110)

    def losses(name: str) -> list[Step]:
        run = fine_tune(
            prepare(tmp_path, manifest, settings, CUDA), splits, settings, Checkpoints(name, tmp_path / name)
        )
        return [event for event in run if isinstance(event, Step)]

    losses("warm")
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    whole = losses("whole")
    most = torch.cuda.max_memory_reserved() / torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(most * 0.75)
    try:
        halved = losses("halved")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert [whole[0].micro_batch, halved[0].micro_batch < 110] == [110, True]
    np.testing.assert_allclose(halved[0].loss, whole[0].loss, rtol=0.02)


def test_steps_of_padded_batches_are_not_recorded(learn: Learn, replays: list[None]) -> None:
    learn("padded", unpadded=False)
    assert not replays
