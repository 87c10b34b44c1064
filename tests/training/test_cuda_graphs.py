"""Captured steps against eager steps: on a GPU, and as if on one."""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from bertline.encoder import collate as batches
from bertline.encoder.attention import varlen as packed_attention
from bertline.encoder.collate import Batch
from bertline.encoder.layers import measure_depths
from bertline.encoder.unpadding import enable_unpadding, is_unpadding_enabled
from bertline.params.finetune import Params
from bertline.stages.adapt.build import build_pretraining, build_task
from bertline.stages.finetune import task as classification
from bertline.stages.finetune.layers import freeze
from bertline.stages.finetune.prepare import fine_tune, prepare
from bertline.tokens.arrays import TokenizedSplit
from bertline.tokens.manifest import Manifest
from bertline.training import cuda_graphs
from bertline.training.checkpoints import Checkpoints
from bertline.training.cuda_graphs import CudaGraphs
from bertline.training.cuda_graphs import Step as CapturedStep
from bertline.training.determinism import make_deterministic
from bertline.training.history import Step
from bertline.training.loop import TrainingDivergedError, train
from tests.support.architectures import build
from tests.support.kernels import attend_by_mask
from tests.support.params import TINY_TRAINING, section
from tests.support.tiny import save_bert

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

Splits = dict[str, TokenizedSplit]
MakeParams = Callable[..., Params]
Learn = Callable[..., list[Tensor]]
CUDA = torch.device("cuda")


@pytest.fixture(autouse=True)
def without_compiled_layers() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def replays(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Grow by one with every step that is replayed."""
    found: list[None] = []
    replay = CudaGraphs.replay

    def count(*args: object) -> Tensor | None:
        outcome = replay(*args)
        if outcome is not None:
            found.append(None)
        return outcome

    monkeypatch.setattr(CudaGraphs, "replay", count)
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


@needs_gpu
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"compile": True},
        {"class_weights": "balanced", "loss": "focal", "ema_decay": 0.9},
        {"r_drop": 1.0, "label_smoothing": 0.1},
        {"distillation": 0.5},
        {"unfreeze_epochs": 2, "layer_decay": 0.9},
        {"frozen_layers": 1, "cache_activations": True},
        {"lora_rank": 2},
    ],
    ids=lambda changes: "-".join(changes) or "plain",
)
def test_captured_steps_leave_the_bits_of_eager_steps(
    learn: Learn, replays: list[None], changes: dict[str, object]
) -> None:
    plain = learn("plain", cuda_graphs=False, **changes)
    assert not replays
    captured = learn("captured", **changes)
    assert len(replays) > 10
    assert all(map(torch.equal, plain, captured))


@needs_gpu
def test_a_killed_run_with_captured_steps_ends_in_the_same_bits(learn: Learn, replays: list[None]) -> None:
    whole = learn("whole")
    for steps in (13, 24):
        learn("killed", until=steps)
    continued = learn("killed")
    assert len(replays) > 30
    assert all(map(torch.equal, whole, continued))


@needs_gpu
@pytest.mark.parametrize("objective", ["mlm", "mlm_nsp"])
def test_captured_steps_of_pre_training_leave_the_same_bits(
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
    for captured in (True, False):
        changes = {"objective": objective, "cuda_graphs": captured, "device": "cuda"}
        params = section("adapt", **TINY_TRAINING | changes)
        make_deterministic(1, 1)
        model = build_pretraining(tiny_encoder, tmp_path, params)
        task = build_task(model, splits, tmp_path, params)
        list(train(model.to(CUDA), task, params, Checkpoints("run", tmp_path / f"{captured}")))
        ends.append([each.detach().cpu() for each in model.state_dict().values()])
    assert len(replays) > 10
    assert all(map(torch.equal, *ends))


@needs_gpu
def test_a_captured_step_that_diverges_leaves_the_weights(
    tiny_encoder: Path,
    splits: Splits,
    manifest: Manifest,
    params: MakeParams,
    tmp_path: Path,
    replays: list[None],
) -> None:
    settings = params(device="cuda", epochs=3)
    model = prepare(tiny_encoder, manifest, settings, CUDA)
    run = fine_tune(model, splits, settings, Checkpoints("run", tmp_path))
    with pytest.raises(TrainingDivergedError, match="at step 35"):
        for event in run:
            if isinstance(event, Step) and event.step == 34:
                model.classifier.bias.detach().fill_(float("inf"))
                before, replayed = [each.detach().clone() for each in model.parameters()], len(replays)
    assert len(replays) == replayed + 1
    assert all(map(torch.equal, before, model.parameters()))


@needs_gpu
def test_a_batch_that_does_not_fit_a_gpu_is_computed_in_micro_batches(
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


@needs_gpu
def test_steps_of_padded_batches_stay_eager(learn: Learn, replays: list[None]) -> None:
    learn("padded", unpadded=False)
    assert not replays


class Again:
    """Stands in for a CUDA graph: computes the captured step with what its memory holds now."""

    busy = False

    def __init__(self, batch: Batch, total: Tensor, step: CapturedStep) -> None:
        self._batch, self._total, self._step = batch, total, step
        self.results = torch.zeros(2)

    def replay(self) -> None:
        Again.busy = True
        self.results.copy_(self._step(self._batch, self._total))
        Again.busy = False


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def capture(self: CudaGraphs, batch: Batch, step: CapturedStep) -> object:
        kept, total = copy.deepcopy(batch), torch.ones(())
        again = Again(kept, total, step)
        return cuda_graphs._Captured(again, kept, total, again.results)

    for module in (batches, cuda_graphs):
        monkeypatch.setattr(module, "supports_buckets", is_unpadding_enabled)
    monkeypatch.setattr(cuda_graphs.CudaGraphs, "_capture", capture)
    monkeypatch.setattr(cuda_graphs.CudaGraphs, "_has_memory", lambda _: True)
    monkeypatch.setattr(packed_attention, "has_kernel", lambda *what: what[2] == torch.bfloat16)
    monkeypatch.setattr(packed_attention, "flash_varlen", attend_by_mask)
    monkeypatch.setattr(classification, "autocast", lambda _: torch.autocast("cpu", torch.bfloat16))


KINDS: dict[str, dict[str, object]] = {
    "bert": {},
    "roberta": {},
    "modernbert": {"local_attention": 8, "global_attn_every_n_layers": 2, "classifier_pooling": "mean"},
    "eurobert": {"num_key_value_heads": 1, "classifier_pooling": "bos"},  # has queries in full precision
    "nomic_bert": {},  # likewise
}
EVERYTHING = {
    "r_drop": 1.0,
    "class_weights": "balanced",
    "loss": "focal",
    "ema_decay": 0.9,
    "distillation": 0.5,
    "unfreeze_epochs": 2,
    "layer_decay": 0.9,
}


@pytest.mark.usefixtures("as_on_a_gpu")
@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        *((kind, {}) for kind in KINDS),
        ("bert", EVERYTHING),
        ("bert", {"frozen_layers": 1, "cache_activations": True}),
    ],
)
def test_a_replay_keeps_nothing_of_the_captured_batch(
    splits: Splits,
    params: MakeParams,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    replays: list[None],
    kind: str,
    changes: dict[str, object],
) -> None:
    monkeypatch.chdir(tmp_path)
    taught = np.eye(3, dtype=np.float32)[splits["train"].labels] if "distillation" in changes else None

    def losses(name: str, **more: object) -> list[float]:
        settings = params(device="cpu", epochs=3, **changes, **more)
        make_deterministic(1, 1)
        model = build(kind, dropout=False, **KINDS[kind])
        freeze(model, settings.frozen_layers, measure_depths(model))
        assert enable_unpadding(model)
        events = fine_tune(model, splits, settings, Checkpoints("run", tmp_path / name), taught)
        return [event.loss for event in events if isinstance(event, Step)]

    expected = losses("plain", cuda_graphs=False)
    assert not replays
    assert losses("captured") == expected
    assert len(replays) > 10


@pytest.mark.usefixtures("as_on_a_gpu")
def test_when_memory_runs_out_graphs_are_deleted_before_batches_are_cut(
    tiny_encoder: Path,
    splits: Splits,
    manifest: Manifest,
    params: MakeParams,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    replays: list[None],
) -> None:
    monkeypatch.setattr(cuda_graphs, "MAX_GRAPHS", 1)  # so that there are eager steps, too
    settings = params(device="cpu", epochs=3)
    model = prepare(tiny_encoder, manifest, settings, torch.device("cpu"))
    seen = []

    def run_out(*_: object) -> None:
        if len(replays) > 10 and model.training and not Again.busy and not seen:
            seen.append(len(replays))
            raise MemoryError

    model.register_forward_pre_hook(run_out)
    events = list(fine_tune(model, splits, settings, Checkpoints("run", tmp_path)))
    assert seen == [len(replays)]
    assert {event.micro_batch for event in events if isinstance(event, Step)} == {8}
