"""Steps that are recorded and replayed against steps that are not: on a GPU, and as if on one."""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from architectures import build
from kernels import attend_by_mask
from tiny import TRAINING, save_bert
from torch import Tensor

from bertline.modeling import batches, classification, packed_attention, recording
from bertline.modeling.adapting import build_pretraining, build_task
from bertline.modeling.batches import Batch
from bertline.modeling.checkpoints import Checkpoints
from bertline.modeling.encoder import make_deterministic
from bertline.modeling.finetuning import fine_tune, prepare
from bertline.modeling.history import Step
from bertline.modeling.recording import Recorder
from bertline.modeling.recording import Step as RecordedStep
from bertline.modeling.strategies import freeze
from bertline.modeling.tokens import Manifest, TokenizedSplit
from bertline.modeling.training import TrainingDivergedError, train
from bertline.modeling.unpadded import is_enabled
from bertline.params.adapt import Params as Adapt
from bertline.params.finetune import Params

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

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

    def count(*args: object) -> Tensor | None:
        outcome = replay(*args)
        if outcome is not None:
            found.append(None)
        return outcome

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


@needs_gpu
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


@needs_gpu
def test_a_recorded_run_that_is_killed_ends_in_the_same_bits(learn: Learn, replays: list[None]) -> None:
    whole = learn("whole")
    for steps in (13, 24):
        learn("killed", until=steps)
    continued = learn("killed")
    assert len(replays) > 30
    assert all(map(torch.equal, whole, continued))


@needs_gpu
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


@needs_gpu
def test_a_recorded_step_that_diverges_leaves_the_weights_as_they_were(
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


@needs_gpu
def test_steps_of_padded_batches_are_not_recorded(learn: Learn, replays: list[None]) -> None:
    learn("padded", unpadded=False)
    assert not replays


class Again:
    """Stands in for a CUDA graph: computes what was recorded with what stands in its memory by now."""

    busy = False

    def __init__(self, batch: Batch, total: Tensor, step: RecordedStep) -> None:
        self._batch, self._total, self._step = batch, total, step
        self.outcome = torch.zeros(2)

    def replay(self) -> None:
        Again.busy = True
        self.outcome.copy_(self._step(self._batch, self._total))
        Again.busy = False


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def record(self: Recorder, batch: Batch, step: RecordedStep) -> object:
        kept, total = copy.deepcopy(batch), torch.ones(())
        again = Again(kept, total, step)
        return recording._Recorded(again, kept, total, again.outcome)

    for module in (batches, recording):
        monkeypatch.setattr(module, "can_fill", is_enabled)
    monkeypatch.setattr(recording.Recorder, "_record", record)
    monkeypatch.setattr(recording.Recorder, "_has_memory", lambda _: True)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: None)
    monkeypatch.setattr(packed_attention, "has_kernel", lambda *what: what[2] == torch.bfloat16)
    monkeypatch.setattr(packed_attention, "attend_by_kernel", attend_by_mask)
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
    "averaging": 0.9,
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
def test_nothing_of_the_batch_that_was_recorded_is_left_in_replays(
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
        freeze(model, settings.frozen_layers)
        events = fine_tune(model, splits, settings, Checkpoints("run", tmp_path / name), taught)
        return [event.loss for event in events if isinstance(event, Step)]

    expected = losses("plain", cuda_graphs=False)
    assert not replays
    assert losses("recorded") == expected
    assert len(replays) > 10


@pytest.mark.usefixtures("as_on_a_gpu")
def test_when_memory_runs_out_recorded_steps_are_forgotten_before_batches_are_cut(
    tiny_encoder: Path,
    splits: Splits,
    manifest: Manifest,
    params: MakeParams,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    replays: list[None],
) -> None:
    monkeypatch.setattr(recording, "SHAPES", 1)  # so that there are other steps, too
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
