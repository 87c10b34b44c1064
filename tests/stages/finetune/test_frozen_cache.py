import errno
import shutil
from collections import namedtuple
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from bertline.encoder.collate import Collate, collate_for
from bertline.encoder.layers import measure_depths
from bertline.encoder.unpadding import enable_unpadding
from bertline.params.finetune import Params
from bertline.stages.finetune import frozen_cache as activations
from bertline.stages.finetune.frozen_cache import disk_bytes, frozen_layer_cache
from bertline.stages.finetune.layers import freeze
from bertline.stages.finetune.task import Classification, predict
from bertline.tokens.arrays import TokenizedSplit
from bertline.training.checkpoints import Checkpoints
from bertline.training.loop import train
from tests.support.architectures import SIZES, build, depth_by_name, weights
from tests.support.tiny import make_texts

MakeParams = Callable[..., Params]
Splits = dict[str, TokenizedSplit]


def frozen(kind: str, layers: int, **changes: object) -> PreTrainedModel:
    model = build(kind, **changes)
    with torch.no_grad():
        for parameter in model.parameters():  # else the head of a fresh model drowns all differences
            parameter.mul_((1, 1, 3, 30)[parameter.ndim])
    freeze(model, layers, measure_depths(model))
    return model.eval()


def make_collate(model: PreTrainedModel, *, unpadded: bool = True) -> Collate:
    if unpadded:
        enable_unpadding(model)
    return collate_for(model)


@pytest.mark.parametrize("unpadded", [True, False])
@pytest.mark.parametrize("layers", [0, 2, 3])
@pytest.mark.parametrize("kind", SIZES)
def test_logits_are_those_of_the_whole_model(
    kind: str, layers: int, unpadded: bool, splits: Splits, params: MakeParams, tmp_path: Path
) -> None:
    model = frozen(kind, layers)
    collate = make_collate(model, unpadded=unpadded)
    whole = {name: predict(model, split, 16, collate) for name, split in splits.items()}
    with frozen_layer_cache(model, splits, params(frozen_layers=layers), collate, tmp_path) as (
        cached,
        cached_collate,
    ):
        for name, split in cached.items():
            assert (
                np.abs(predict(model, split, 16, cached_collate) - whole[name]).max()
                < 0.01 * whole[name].std()
            )
    assert np.array_equal(predict(model, splits["train"], 16, collate), whole["train"])


def test_pairs_and_windows_are_cached_too(
    tokenized: Callable[..., TokenizedSplit], params: MakeParams, tmp_path: Path
) -> None:
    texts = make_texts(60)
    split = tokenized([((one, other), label) for (one, label), (other, _) in pairwise(texts)])
    assert split.type_ids is not None
    bounds = np.array([0, 1, 4, 5, 10, len(split)])  # sequences of each row
    split = replace(split, row_offsets=bounds, labels=split.labels[: len(bounds) - 1])
    model = frozen("bert", 2)
    collate = make_collate(model)
    whole = predict(model, split, 2, collate)
    with frozen_layer_cache(model, {"train": split}, params(frozen_layers=2), collate, tmp_path) as (
        cached,
        cached_collate,
    ):
        assert np.abs(predict(model, cached["train"], 3, cached_collate) - whole).max() < 0.01 * whole.std()


def test_frozen_layers_are_not_computed_again(splits: Splits, params: MakeParams, tmp_path: Path) -> None:
    model = frozen("bert", 2)
    collate = make_collate(model)
    calls: list[int] = []
    with frozen_layer_cache(model, splits, params(frozen_layers=2), collate, tmp_path) as (
        cached,
        cached_collate,
    ):
        for layer in (0, 1, 2):
            part = model.bert.encoder.layer[layer].attention
            part.register_forward_hook(lambda *_, layer=layer: calls.append(layer))
        model.bert.embeddings.word_embeddings.register_forward_hook(lambda *_: calls.append(-1))
        predict(model, cached["validation"], 1000, cached_collate)
    assert calls == [2]


@pytest.mark.parametrize("kind", ["bert", "modernbert"])
@pytest.mark.parametrize("unpadded", [True, False])
def test_training_ends_in_the_weights_of_training_with_frozen_layers(
    kind: str, unpadded: bool, splits: Splits, params: MakeParams, tmp_path: Path
) -> None:
    strategy = params(frozen_layers=1, learning_rate=1e-3)

    def trained(cache: bool) -> dict[str, torch.Tensor]:
        model = frozen(kind, 1, dropout=False)
        collate = make_collate(model, unpadded=unpadded)
        checkpoints = Checkpoints(f"{cache}", tmp_path / "checkpoints")
        if not cache:
            list(train(model, Classification(splits, strategy, collate), strategy, checkpoints))
            return weights(model)
        with frozen_layer_cache(model, splits, strategy, collate, tmp_path) as (cached, cached_collate):
            list(train(model, Classification(cached, strategy, cached_collate), strategy, checkpoints))
        return weights(model)

    model = frozen(kind, 1)
    before, found = weights(model), depth_by_name(model)
    whole, apart = trained(cache=False), trained(cache=True)
    assert set(apart) == set(before)  # a whole model is saved
    for name, depth in found.items():
        if depth <= 1:
            assert torch.equal(apart[name], before[name])
        elif not name.endswith("key.bias"):  # has no gradient but rounding: softmax cancels it
            moved = (whole[name] - before[name]).norm()
            assert (apart[name] - whole[name]).norm() < 0.02 * moved


def test_the_saved_model_answers_as_the_cached_one_did(
    splits: Splits, params: MakeParams, tmp_path: Path
) -> None:
    model = frozen("bert", 2)
    collate = make_collate(model)
    with frozen_layer_cache(model, splits, params(frozen_layers=2), collate, tmp_path / "scratch") as (
        cached,
        cached_collate,
    ):
        model.save_pretrained(tmp_path / "model")
        expected = predict(model, cached["validation"], 16, cached_collate)
    loaded = type(model).from_pretrained(tmp_path / "model").eval()
    logits = predict(loaded, splits["validation"], 16, collate_for(loaded))
    assert np.abs(logits - expected).max() < 0.01 * expected.std()


def test_dropout_of_the_layers_above_stays(splits: Splits, params: MakeParams, tmp_path: Path) -> None:
    model = frozen("bert", 2)
    collate = make_collate(model)
    with frozen_layer_cache(model, splits, params(frozen_layers=2), collate, tmp_path) as (
        cached,
        cached_collate,
    ):
        inputs = cached_collate(cached["train"], np.arange(4))
        model.train()
        assert not torch.equal(model(**inputs).logits, model(**inputs).logits)


def test_nothing_is_left_on_disk(splits: Splits, params: MakeParams, tmp_path: Path) -> None:
    model = frozen("bert", 2)
    collate = make_collate(model)
    with frozen_layer_cache(model, splits, params(frozen_layers=2), collate, tmp_path):
        assert not list(tmp_path.iterdir())  # not even if the process is killed here


def test_the_size_is_known_before(splits: Splits, params: MakeParams, tmp_path: Path) -> None:
    tokens = sum(len(split.input_ids) for split in splits.values())
    assert disk_bytes(build("distilbert"), splits) == tokens * 16 * 2
    model = frozen("bert", 2)
    with frozen_layer_cache(model, splits, params(frozen_layers=2), make_collate(model), tmp_path) as (
        _,
        cached_collate,
    ):
        states_TH = next(
            c.cell_contents for c in cached_collate.__closure__ if isinstance(c.cell_contents, np.ndarray)
        )
        assert states_TH.nbytes == disk_bytes(model, splits)


def test_too_small_a_disk_is_refused_before_the_work(
    splits: Splits, params: MakeParams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = frozen("bert", 2)
    usage = namedtuple("usage", "free")(disk_bytes(model, splits) - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with (
        pytest.raises(OSError, match=r"cache_activations needs .* GB in .*; make room, or set it to false"),
        frozen_layer_cache(model, splits, params(frozen_layers=2), make_collate(model), tmp_path),
    ):
        pass


def test_a_disk_that_runs_full_is_an_error_that_leaves_nothing(
    splits: Splits, params: MakeParams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = frozen("bert", 2)
    collate = make_collate(model)
    whole = predict(model, splits["train"], 16, collate)
    full = Path("/dev/full").open("wb+", buffering=0)  # noqa: SIM115 - closed by the cache
    monkeypatch.setattr(activations.tempfile, "TemporaryFile", lambda **_: full)
    with (
        pytest.raises(OSError, match="No space left") as caught,
        frozen_layer_cache(model, splits, params(frozen_layers=2), collate, tmp_path),
    ):
        pass
    assert caught.value.errno == errno.ENOSPC
    assert not list(tmp_path.iterdir())
    assert np.array_equal(predict(model, splits["train"], 16, collate), whole)


@pytest.mark.parametrize(
    ("kind", "layers", "changes"),
    [
        ("deberta-v2", 1, {"conv_kernel_size": 3}),  # a convolution reads what the first layer read
        ("longformer", 0, {"attention_window": [4, 4, 4]}),  # pads what it is given
        ("rembert", 0, {"input_embedding_size": 8}),  # its embeddings are narrower than its layers
        ("squeezebert", 2, {"embedding_size": 16}),  # its layers hand on other things
    ],
)
def test_an_encoder_whose_lower_layers_do_not_stand_on_their_own_is_refused(
    kind: str, layers: int, changes: dict[str, Any], splits: Splits, params: MakeParams, tmp_path: Path
) -> None:
    model = frozen(kind, layers, **changes)
    with (
        pytest.raises(ValueError, match=r"the lower layers of .* cannot .*cache_activations: false"),
        frozen_layer_cache(model, splits, params(frozen_layers=layers), make_collate(model), tmp_path),
    ):
        pass


def test_what_does_not_fit_into_memory_at_once_is_cached_in_parts(
    splits: Splits, params: MakeParams, tmp_path: Path
) -> None:
    model = frozen("bert", 2)
    collate = collate_for(model)
    whole = predict(model, splits["train"], 16, collate)
    sizes = []

    def at_most_eight(_: object, args: tuple[()], kwargs: dict[str, torch.Tensor]) -> None:
        sizes.append(len(kwargs["attention_mask"]))
        if sizes[-1] > 8:
            raise torch.OutOfMemoryError

    hook = model.register_forward_pre_hook(at_most_eight, with_kwargs=True)
    with frozen_layer_cache(model, splits, params(frozen_layers=2, batch_size=16), collate, tmp_path) as (
        cached,
        cached_collate,
    ):
        hook.remove()
        assert np.abs(predict(model, cached["train"], 16, cached_collate) - whole).max() < 0.01 * whole.std()
    assert (max(sizes), sizes[-1] <= 8) == (32, True)


def test_weights_that_are_still_trained_are_not_cached(
    splits: Splits, params: MakeParams, tmp_path: Path
) -> None:
    model = frozen("bert", 1)
    with (
        pytest.raises(ValueError, match="some of their weights are trained"),
        frozen_layer_cache(model, splits, params(frozen_layers=2), make_collate(model), tmp_path),
    ):
        pass


def test_states_too_large_for_half_precision_are_refused(
    splits: Splits, params: MakeParams, tmp_path: Path
) -> None:
    model = frozen("bert", 2)
    with torch.no_grad():
        model.bert.encoder.layer[1].output.LayerNorm.weight.fill_(1e5)
    with (
        pytest.raises(ValueError, match="too large for half precision"),
        frozen_layer_cache(model, splits, params(frozen_layers=2), make_collate(model), tmp_path),
    ):
        pass


def test_token_ids_are_not_taken_for_places_in_the_file(
    splits: Splits, params: MakeParams, tmp_path: Path
) -> None:
    model = frozen("bert", 2)
    with (
        frozen_layer_cache(model, splits, params(frozen_layers=2), make_collate(model), tmp_path) as (
            _,
            collate,
        ),
        pytest.raises(AssertionError, match="places in the file are wanted"),
    ):
        collate(splits["train"], np.arange(2))
