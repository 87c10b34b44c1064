from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch._dynamo.utils import counters
from torch._inductor.utils import fresh_cache

from bertline.encoder.attention import varlen as packed_attention
from bertline.encoder.collate import collate_for
from bertline.params.finetune import Params
from bertline.stages.finetune.prepare import fine_tune, prepare
from bertline.stages.finetune.task import Classification
from bertline.tokens.arrays import TokenizedSplit
from bertline.tokens.manifest import Manifest
from bertline.training import torch_compile as compilation
from bertline.training.checkpoints import Checkpoints
from bertline.training.history import Step
from bertline.training.torch_compile import compile_layers
from tests.support.architectures import build
from tests.support.kernels import attend_by_mask

Splits = dict[str, TokenizedSplit]
MakeParams = Callable[..., Params]
Learn = Callable[..., list[Tensor]]
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def nothing_is_compiled_yet() -> None:
    torch._dynamo.reset()


def save_without_dropout(folder: Path, kind: str = "bert", **changes: int) -> Path:
    """Save an encoder that draws no random numbers in training: compiled layers draw others."""
    build(kind, dropout=False, **changes).save_pretrained(folder / "encoder")
    return folder / "encoder"


@pytest.fixture
def learn(splits: Splits, manifest: Manifest, params: MakeParams, tmp_path: Path) -> Learn:
    """Return the weights that a training ends in; of the same `name`, it continues."""

    def learn(encoder: Path, name: str, until: int | None = None, **changes: object) -> list[Tensor]:
        settings = params(device="cpu", **changes)
        model = prepare(encoder, manifest, settings, CPU)
        for event in fine_tune(model, splits, settings, Checkpoints("run", tmp_path / name)):
            if isinstance(event, Step) and event.step == until:
                break
        return [each.detach() for each in model.state_dict().values()]

    return learn


@pytest.mark.parametrize("unpadded", [True, False])
def test_compiled_layers_learn_the_same(learn: Learn, tmp_path: Path, *, unpadded: bool) -> None:
    encoder = save_without_dropout(tmp_path)
    plain = learn(encoder, "plain", unpadded=unpadded)
    compiled = learn(encoder, "compiled", unpadded=unpadded, compile=True)
    torch.testing.assert_close(compiled, plain, rtol=1e-3, atol=1e-4)
    assert not all(map(torch.equal, compiled, plain))  # or nothing was compiled


def test_a_compiled_run_that_is_killed_ends_in_the_same_bits(tiny_encoder: Path, learn: Learn) -> None:
    whole = learn(tiny_encoder, "whole", compile=True)
    learn(tiny_encoder, "killed", until=17, compile=True)
    torch._dynamo.reset()
    with fresh_cache():  # another process, which starts with other batches
        continued = learn(tiny_encoder, "killed", compile=True)
    assert all(map(torch.equal, whole, continued))


@pytest.mark.parametrize("kernel", [True, False])
def test_batches_of_all_shapes_share_one_compilation(
    tiny_encoder: Path,
    manifest: Manifest,
    splits: Splits,
    params: MakeParams,
    monkeypatch: pytest.MonkeyPatch,
    *,
    kernel: bool,
) -> None:
    monkeypatch.setattr(packed_attention, "has_kernel", lambda *_: kernel)
    monkeypatch.setattr(packed_attention, "flash_varlen", attend_by_mask)
    settings = params(device="cpu")
    model = prepare(tiny_encoder, manifest, settings, CPU)
    task = Classification(splits, settings, collate_for(model))
    task.start_epoch(model, 1)
    compile_layers(model)
    batches = [task.batch(rows, 1) for rows in task.order(1)]
    counters.clear()
    for number, batch in enumerate(batches):
        task.loss(model, batch).backward()
        if number == 1:
            compiled = counters["stats"]["unique_graphs"]
    assert len({batch.inputs["input_ids"].shape for batch in batches}) > 5
    assert len({len(batch.inputs["length_groups"].shapes) for batch in batches}) > 2
    assert counters["stats"]["unique_graphs"] == compiled
    assert compiled == (1 if kernel else 6)  # the same for both layers; on a CPU, around each one's attention


def test_a_missing_compiler_is_one_error_that_says_what_to_do(
    tiny_encoder: Path, learn: Learn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch._inductor.config.cpp, "cxx", ("/nowhere/g++",))
    message = r"cannot be compiled here; set it to false: .*C\+\+ compiler"
    with fresh_cache(), pytest.raises(ValueError, match=message):
        learn(tiny_encoder, "run", compile=True)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("modernbert", {"unfreeze_epochs": 3, "epochs": 4}),
        ("bert", {"lora_rank": 2, "r_drop": 0.5, "micro_batch": 4}),
        ("bert", {"gradient_checkpointing": True, "layer_decay": 0.9}),
        ("bert", {"frozen_layers": 1, "cache_activations": True}),
    ],
    ids=lambda each: each if isinstance(each, str) else "-".join(each),
)
def test_every_strategy_learns_the_same_with_compiled_layers(
    kind: str,
    changes: dict[str, object],
    learn: Learn,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compilation, "COMPILE_OPTIONS", {"dynamic": True, "backend": "aot_eager"})  # quick
    monkeypatch.chdir(tmp_path)  # of cached activations
    encoder = save_without_dropout(tmp_path, kind, num_hidden_layers=4)
    plain = learn(encoder, "plain", **changes)
    compiled = learn(encoder, "compiled", **changes, compile=True)
    torch.testing.assert_close(compiled, plain, rtol=1e-3, atol=1e-4)
