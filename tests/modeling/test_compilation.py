from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import save_bert
from torch import Tensor
from torch._dynamo.utils import counters
from torch._inductor.utils import fresh_cache

from bertline.modeling import packed_attention
from bertline.modeling.batches import pick_collate
from bertline.modeling.checkpoints import Checkpoints
from bertline.modeling.classification import Classification
from bertline.modeling.compilation import compile_layers
from bertline.modeling.finetuning import fine_tune, prepare
from bertline.modeling.history import Step
from bertline.modeling.tokens import Manifest, TokenizedSplit
from bertline.params.finetune import Params

Splits = dict[str, TokenizedSplit]
MakeParams = Callable[..., Params]
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def nothing_is_compiled_yet() -> None:
    torch._dynamo.reset()


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    """An encoder that draws no random numbers in training."""
    words = 5 + 12 + 18
    sizes = {"vocab_size": words, "max_position_embeddings": 128}
    save_bert(tmp_path / "encoder", **sizes, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    return tmp_path / "encoder"


def train(encoder: Path, splits: Splits, manifest: Manifest, params: Params, scratch: Path) -> list[Tensor]:
    model = prepare(encoder, manifest, params, CPU)
    for _ in fine_tune(model, splits, params, Checkpoints("run", scratch)):
        pass
    return [each.detach() for each in model.state_dict().values()]


@pytest.mark.parametrize("unpadded", [True, False])
def test_compiled_layers_learn_the_same_and_repeatably(
    encoder: Path,
    splits: Splits,
    manifest: Manifest,
    params: MakeParams,
    tmp_path: Path,
    *,
    unpadded: bool,
) -> None:
    settings = params(device="cpu", unpadded=unpadded)
    plain = train(encoder, splits, manifest, settings, tmp_path / "plain")
    compiled = replace(settings, compile=True)
    first = train(encoder, splits, manifest, compiled, tmp_path / "a")
    torch.testing.assert_close(first, plain, rtol=1e-3, atol=1e-4)
    assert not all(map(torch.equal, first, plain))  # or nothing was compiled
    again = train(encoder, splits, manifest, compiled, tmp_path / "b")
    assert all(map(torch.equal, first, again))


def test_a_compiled_run_that_is_killed_ends_in_the_same_bits(
    tiny_encoder: Path, splits: Splits, manifest: Manifest, params: MakeParams, tmp_path: Path
) -> None:
    settings = params(device="cpu", compile=True)
    whole = train(tiny_encoder, splits, manifest, settings, tmp_path / "whole")
    model = prepare(tiny_encoder, manifest, settings, CPU)
    for event in fine_tune(model, splits, settings, Checkpoints("run", tmp_path / "killed")):
        if isinstance(event, Step) and event.step == 17:
            break
    continued = train(tiny_encoder, splits, manifest, settings, tmp_path / "killed")
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
    def attend_by_mask(
        query: Tensor, key: Tensor, value: Tensor, cu_seqlens: Tensor, longest: int, *_: object
    ) -> Tensor:
        """Stands in for the kernel of a GPU: told the same, and nothing else."""
        assert longest > 0
        text_T = torch.searchsorted(cu_seqlens, torch.arange(query.shape[0]), right=True)
        q, k, v = (each.transpose(0, 1) for each in (query, key, value))
        mask = text_T[:, None] == text_T
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(0, 1)

    monkeypatch.setattr(packed_attention, "_has_kernel", lambda _: kernel)
    monkeypatch.setattr(packed_attention, "attend_by_kernel", attend_by_mask)
    settings = params(device="cpu")
    model = prepare(tiny_encoder, manifest, settings, CPU)
    task = Classification(splits, settings, pick_collate(model, unpadded=True))
    task.start_epoch(model, 1)
    compile_layers(model)
    batches = [task.batch(rows, 1) for rows in task.order(1)]
    counters.clear()
    for number, batch in enumerate(batches):
        task.loss(model, batch).backward()
        if number == 1:
            compiled = counters["stats"]["unique_graphs"]
    assert len({batch.inputs["input_ids"].shape for batch in batches}) > 5
    assert len({len(batch.inputs["runs"].shapes) for batch in batches}) > 2
    assert counters["stats"]["unique_graphs"] == compiled > 0


def test_a_missing_compiler_is_one_error_that_says_what_to_do(
    tiny_encoder: Path,
    splits: Splits,
    manifest: Manifest,
    params: MakeParams,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch._inductor.config.cpp, "cxx", ("/nowhere/g++",))
    with fresh_cache(), pytest.raises(ValueError, match=r"cannot be compiled here .*set it to false"):
        train(tiny_encoder, splits, manifest, params(device="cpu", compile=True), tmp_path)
