"""Unpadded models against the padded ones they are copies of, in double precision unless said otherwise.

Random weights are scaled up: attention is far from uniform, so a wrong neighbour is no rounding error.
"""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForMaskedLM,
    AutoModelForPreTraining,
    AutoModelForSequenceClassification,
    PreTrainedModel,
)

from bertline.encoder.unpadding import enable_unpadding, unpad

SIZE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "classifier_dropout": 0.0}
FITS: dict[str, dict[str, Any]] = {
    "bert": SIZE | NO_DROPOUT,
    "roberta": SIZE | NO_DROPOUT,
    "distilbert": {
        **{"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32},
        **{"dropout": 0.0, "attention_dropout": 0.0, "seq_classif_dropout": 0.0},
    },
    "electra": SIZE | NO_DROPOUT,
    "albert": SIZE | NO_DROPOUT | {"embedding_size": 8, "classifier_dropout_prob": 0.0},
    "modernbert": SIZE | {"local_attention": 8, "global_attn_every_n_layers": 2},
    "eurobert": SIZE | {"num_key_value_heads": 1, "classifier_pooling": "bos"},
}
UNFIT = {"deberta-v2": SIZE, "mpnet": SIZE, "convbert": SIZE, "megatron-bert": SIZE}
HALF = torch.bfloat16
LENGTHS = (3, 3, 7, 12, 12, 12, 5)


def build(
    kind: str = "bert", auto: Any = AutoModelForSequenceClassification, **changes: Any
) -> PreTrainedModel:
    torch.manual_seed(0)
    ids = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "cls_token_id": 0, "sep_token_id": 2}
    sizes = (FITS | UNFIT)[kind]
    config = AutoConfig.for_model(kind, vocab_size=40, num_labels=3, **ids | sizes | changes)
    model = auto.from_config(config).double()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(8)
    return model


def texts(lengths: tuple[int, ...] = LENGTHS, seed: int = 0) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.integers(3, 40, size=length) for length in lengths]


def pad(rows: list[np.ndarray], value: int = 1) -> tuple[Tensor, Tensor]:
    tensors = [torch.from_numpy(row) for row in rows]
    mask = nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in tensors], batch_first=True)
    return nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=value), mask


def padded(model: PreTrainedModel, rows: list[np.ndarray], **more: Tensor) -> Any:
    ids, mask = pad(rows)
    return model(input_ids=ids, attention_mask=mask, **more)


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(
        actual, expected, rtol=1e-5, atol=1e-9 if actual.dtype == torch.double else 1e-5
    )


def both(kind: str, **changes: Any) -> tuple[PreTrainedModel, PreTrainedModel]:
    """An unpadded model and a padded one of the same weights, in training mode without dropout."""
    model = build(kind, **changes).train()
    reference = copy.deepcopy(model)
    assert enable_unpadding(model)
    return model, reference


def assert_same_gradients(model: PreTrainedModel, reference: PreTrainedModel) -> None:
    expected = dict(reference.named_parameters())
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == (expected[name].grad is None), name
        if parameter.grad is not None:
            close(parameter.grad, expected[name].grad)


def backward(logits: Tensor) -> None:
    weights = torch.linspace(-1, 1, logits.numel(), dtype=logits.dtype, device=logits.device)
    (weights * logits.flatten()).sum().backward()


@pytest.fixture
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("kind", FITS)
def test_logits_and_all_gradients_are_those_of_padded_texts(kind: str) -> None:
    model, reference = both(kind)
    expected = padded(reference, texts()).logits
    actual = model(**unpad(texts(), None, model.config)).logits
    close(actual, expected)
    backward(actual)
    backward(expected)
    assert_same_gradients(model, reference)
    assert any(parameter.grad.abs().max() > 1e-3 for parameter in model.base_model.parameters())


@pytest.mark.parametrize("kind", ["modernbert", "eurobert"])
def test_heads_that_take_the_mean_of_the_tokens_get_the_mean_of_each_text(kind: str) -> None:
    model, reference = both(kind, classifier_pooling="mean")
    expected = padded(reference, texts()).logits
    actual = model(**unpad(texts(), None, model.config)).logits
    close(actual, expected)
    backward(actual)
    backward(expected)
    assert_same_gradients(model, reference)


@pytest.mark.parametrize("kind", FITS)
def test_texts_that_fill_a_batch_up_change_neither_logits_nor_gradients(kind: str) -> None:
    model, reference = both(kind)
    expected = padded(reference, texts()).logits
    actual = model(**unpad(texts(), None, model.config, bucketed=True)).logits
    close(actual, expected)
    backward(actual)
    backward(expected)
    assert_same_gradients(model, reference)


@pytest.mark.parametrize("kind", ["modernbert", "eurobert"])
def test_means_leave_out_the_texts_that_fill_a_batch_up(kind: str) -> None:
    model, reference = both(kind, classifier_pooling="mean")
    actual = model(**unpad(texts(), None, model.config, bucketed=True)).logits
    close(actual, padded(reference, texts()).logits)


def test_batches_are_filled_up_to_few_shapes() -> None:
    random, config, found = np.random.default_rng(0), build("bert").config, set()
    for _ in range(200):
        lengths = random.integers(3, 40, 32)
        inputs = unpad([np.ones(length) for length in lengths], None, config, bucketed=True)
        assert sum(lengths) <= inputs["input_ids"].shape[1] <= sum(lengths) * 9 / 8 + 128
        assert max(lengths) <= inputs["max_seqlen"]
        found.add((inputs["input_ids"].shape, inputs["cu_seqlens"].shape, inputs["max_seqlen"]))
    assert len(found) < 8


@pytest.mark.parametrize("kind", FITS)
def test_a_text_does_not_see_its_neighbours(kind: str) -> None:
    model, _ = both(kind)
    text, config = texts((6,))[0], model.config
    alone = model(**unpad([text], None, config)).logits[0]
    among = model(**unpad([*texts((9, 6)), text, *texts((6, 2), seed=1)], None, config)).logits[2]
    others = model(**unpad([*texts((2, 6), seed=2), text, *texts((6, 30), seed=3)], None, config)).logits[2]
    close(among, alone)
    close(others, alone)


@pytest.mark.parametrize("kind", FITS)
def test_padded_batches_are_still_right(kind: str) -> None:
    model, reference = both(kind)
    close(padded(model, texts()).logits, padded(reference, texts()).logits)
    equal = torch.from_numpy(np.stack(texts((12, 12, 12))))  # no mask: local layers are still local
    close(model(input_ids=equal).logits, reference(input_ids=equal).logits)


@pytest.mark.parametrize("kind", ["bert", "electra", "albert"])
def test_pairs_keep_the_types_of_their_tokens(kind: str) -> None:
    model, reference = both(kind)
    types = [np.arange(length) // 3 % 2 for length in LENGTHS]
    expected = padded(reference, texts(), token_type_ids=pad(types, 0)[0]).logits
    actual = model(**unpad(texts(), types, model.config)).logits
    close(actual, expected)
    assert not torch.allclose(actual, model(**unpad(texts(), None, model.config)).logits)


def test_types_are_not_told_to_encoders_that_did_not_learn_them() -> None:
    types = [np.zeros(length, dtype=np.int64) for length in LENGTHS]
    assert "token_type_ids" not in unpad(texts(), types, build("distilbert").config)
    assert "token_type_ids" in unpad(texts(), types, build("bert").config)


@pytest.mark.parametrize("kind", FITS)
def test_language_models_answer_for_each_token(kind: str) -> None:
    model, reference = both(kind, auto=AutoModelForMaskedLM)
    expected = padded(reference, texts()).logits[pad(texts())[1] > 0][None]
    actual = model(**unpad(texts(), None, model.config)).logits
    close(actual, expected)
    backward(actual)
    backward(expected)
    assert_same_gradients(model, reference)


def test_pretraining_with_next_sentences_answers_for_each_token_and_each_text() -> None:
    model, reference = both("bert", auto=AutoModelForPreTraining)
    expected = padded(reference, texts())
    actual = model(**unpad(texts(), None, model.config))
    close(actual.prediction_logits, expected.prediction_logits[pad(texts())[1] > 0][None])
    close(actual.seq_relationship_logits, expected.seq_relationship_logits)
    for output in (actual, expected):
        (
            output.seq_relationship_logits[:, 0].sum() + output.prediction_logits[0, :3].square().sum()
        ).backward()
    assert_same_gradients(model, reference)


@pytest.mark.parametrize("kind", UNFIT)
@pytest.mark.parametrize("auto", [AutoModelForSequenceClassification, AutoModelForMaskedLM])
def test_a_model_that_does_not_follow_the_interface_is_left_as_it_was(kind: str, auto: Any) -> None:
    model = build(kind, auto=auto).eval()
    implementation, expected = model.config._attn_implementation, padded(model, texts()).logits
    assert not enable_unpadding(model)
    assert model.config._attn_implementation == implementation
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert torch.equal(padded(model, texts()).logits, expected)


def test_a_model_whose_outputs_tell_nothing_is_not_trusted() -> None:
    model = build()
    nn.init.zeros_(model.classifier.weight)  # all texts get the same logits, whatever they see
    nn.init.ones_(model.classifier.bias)
    assert not enable_unpadding(model)


@pytest.mark.parametrize("kind", ["bert", "deberta-v2"])
def test_trying_draws_no_random_numbers_and_leaves_modes_alone(kind: str) -> None:
    model = build(kind, hidden_dropout_prob=0.5).train()
    model.base_model.embeddings.eval()
    modes = [module.training for module in model.modules()]
    torch.manual_seed(1)
    np.random.seed(1)  # the legacy state is what must not move
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    enable_unpadding(model)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])
    assert [module.training for module in model.modules()] == modes
    assert all(parameter.grad is None for parameter in model.parameters())


def test_enabling_twice_is_enabling_once() -> None:
    model, reference = both("bert")
    assert enable_unpadding(model)
    close(model(**unpad(texts(), None, model.config)).logits, padded(reference, texts()).logits)


@pytest.mark.parametrize("kind", ["bert", "modernbert"])
def test_what_is_saved_is_the_standard_model(kind: str, tmp_path: Path) -> None:
    model, reference = both(kind)
    model.save_pretrained(tmp_path / "unpadded")
    reference.save_pretrained(tmp_path / "padded")
    configs = [json.loads((tmp_path / name / "config.json").read_text()) for name in ("unpadded", "padded")]
    assert configs[0] == configs[1]
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path / "unpadded")
    assert loaded.config._attn_implementation == "sdpa"
    close(padded(loaded, texts()).logits, padded(reference.eval(), texts()).logits)


@pytest.mark.filterwarnings("ignore:`gradient_checkpointing_enable`:FutureWarning")
@pytest.mark.parametrize("kind", sorted(FITS.keys() - {"albert"}))  # which has no checkpointing
@pytest.mark.parametrize("reentrant", [True, False])
def test_gradients_are_the_same_with_checkpointed_activations(kind: str, reentrant: bool) -> None:
    model, reference = both(kind)
    model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    if reentrant:
        model.enable_input_require_grads()
    backward(model(**unpad(texts(), None, model.config)).logits)
    backward(padded(reference, texts()).logits)
    assert_same_gradients(model, reference)


@pytest.mark.usefixtures("deterministic")
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_deterministic_algorithms_suffice_and_repeat_the_bits(pooling: str) -> None:
    model, _ = both("modernbert", classifier_pooling=pooling)
    gradients = []
    for _ in range(2):
        model.zero_grad()
        backward(model(**unpad(texts(), None, model.config)).logits)
        gradients.append([parameter.grad.clone() for parameter in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_attention_weights_are_dropped_out_in_training_only() -> None:
    model, reference = both("bert", attention_probs_dropout_prob=0.5)
    inputs = unpad(texts(), None, model.config)
    torch.manual_seed(0)
    first = model(**inputs).logits
    assert not torch.allclose(first, model(**inputs).logits)
    torch.manual_seed(0)
    assert torch.equal(first, model(**inputs).logits)
    close(model.eval()(**inputs).logits, padded(reference.eval(), texts()).logits)


def test_texts_longer_than_the_window_of_local_layers_see_through_it() -> None:
    model, reference = both("modernbert")
    rows = texts((40, 40, 33, 4))
    close(model(**unpad(rows, None, model.config)).logits, padded(reference, rows).logits)
    wide = build("modernbert", local_attention=200)  # without local layers the answer is another
    wide.load_state_dict(reference.state_dict())
    assert not torch.allclose(padded(wide, rows).logits, padded(reference, rows).logits)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.usefixtures("deterministic")
@pytest.mark.parametrize("kind", ["bert", "modernbert"])
def test_half_precision_on_a_gpu_is_near_full_precision_and_repeats_the_bits(kind: str) -> None:
    model, reference = both(kind)
    expected = padded(reference, texts()).logits.float()
    inputs = unpad(texts(), None, model.config)
    moved = {name: x.cuda() if isinstance(x, Tensor) else x for name, x in inputs.items()}
    model.float().cuda()
    runs = []
    for _ in range(2):
        model.zero_grad()
        with torch.autocast("cuda", HALF):
            logits = model(**moved).logits.float()
        backward(logits)
        runs.append([logits.detach().clone(), *(x.grad.clone() for x in model.parameters())])
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))
    torch.testing.assert_close(runs[0][0].cpu(), expected, rtol=0.1, atol=0.1 * expected.abs().max().item())
