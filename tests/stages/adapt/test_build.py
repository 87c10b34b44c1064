"""The start of `adapt`: the weights of an encoder, of another vocabulary, or none."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    LongformerConfig,
    LongformerModel,
)

from bertline.params.adapt import Params
from bertline.stages.adapt.build import build_pretraining
from bertline.tokens.manifest import Manifest
from bertline.training.determinism import make_deterministic
from tests.support.tiny import SIZES

MakeParams = Callable[..., Params]


@pytest.fixture
def own_tokenizer(token_folder: Path, manifest: Manifest, tmp_path: Path) -> Path:
    """A folder of tokens whose tokenizer knows some of the weights' words, under other ids, and new ones."""
    own = tmp_path / "own"
    shutil.copytree(token_folder, own)
    file = own / "tokenizer.json"
    document = json.loads(file.read_text())
    kept = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "horse",
        "cat",
        "zebra",
        *(f"new{i}" for i in range(50)),
    ]
    document["model"]["vocab"] = {word: i for i, word in enumerate(kept)}
    file.write_text(json.dumps(document))
    replace(manifest, own_tokenizer=True, vocabulary=len(kept)).write(own)
    return own


def test_of_another_vocabulary_only_the_words_that_both_know_keep_their_embeddings(
    tiny_encoder: Path, own_tokenizer: Path, adapt_params: MakeParams
) -> None:
    make_deterministic(1, 1)
    old = AutoTokenizer.from_pretrained(tiny_encoder).get_vocab()
    model = build_pretraining(tiny_encoder, own_tokenizer, adapt_params())
    source = AutoModelForSequenceClassification.from_pretrained(tiny_encoder).get_input_embeddings().weight
    weight = model.get_input_embeddings().weight
    assert weight.shape == (58, 32)
    assert model.config.vocab_size == 58
    assert torch.equal(weight[[5, 6]], source[[old["horse"], old["cat"]]])
    assert not any(torch.equal(weight[7], row) for row in source)
    assert model.get_output_embeddings().weight is weight
    before = AutoModelForSequenceClassification.from_pretrained(tiny_encoder).bert.encoder.state_dict()
    assert all(torch.equal(each, before[name]) for name, each in model.bert.encoder.state_dict().items())


def test_of_another_vocabulary_of_the_same_size_no_other_word_has_kept_anything(
    tiny_encoder: Path, own_tokenizer: Path, tmp_path: Path, adapt_params: MakeParams
) -> None:
    make_deterministic(1, 1)
    source = BertForMaskedLM(BertConfig(vocab_size=58, **SIZES))
    source.get_output_embeddings().bias.data.fill_(7.0)
    shutil.copytree(tiny_encoder, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("model*"))
    source.save_pretrained(tmp_path)
    model = build_pretraining(tmp_path, own_tokenizer, adapt_params())
    old = source.get_input_embeddings().weight
    kept = (model.get_input_embeddings().weight == old[:58]).all(dim=1)
    assert not kept[7:].any()
    assert model.get_output_embeddings().bias.abs().max() == 0
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_an_encoder_that_is_not_whole_is_refused(
    tiny_encoder: Path, token_folder: Path, tmp_path: Path, adapt_params: MakeParams
) -> None:
    shutil.copytree(tiny_encoder, tmp_path, dirs_exist_ok=True)
    weights = load_file(tiny_encoder / "model.safetensors")
    weights = {name: each for name, each in weights.items() if "layer.1." not in name}
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    missing = r"it has no bert\.encoder\.layer\.1\..* of the shape that config\.json sets"
    with pytest.raises(ValueError, match=missing):
        build_pretraining(tmp_path, token_folder, adapt_params())


def test_a_head_that_no_file_holds_starts_with_biases_of_zero(
    tiny_encoder: Path, token_folder: Path, tmp_path: Path, adapt_params: MakeParams
) -> None:
    shutil.copytree(tiny_encoder, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("model*"))
    LongformerModel(
        LongformerConfig(vocab_size=35, pad_token_id=0, attention_window=[4, 4], **SIZES)
    ).save_pretrained(tmp_path)
    rubbish = [torch.full((35,), 9e9) for _ in range(1000)]  # in memory that is asked for next
    del rubbish
    assert build_pretraining(tmp_path, token_folder, adapt_params()).lm_head.bias.abs().max() == 0


def test_a_fresh_encoder_shares_nothing_with_the_weights(
    tiny_encoder: Path, token_folder: Path, adapt_params: MakeParams
) -> None:
    make_deterministic(1, 1)
    model = build_pretraining(tiny_encoder, token_folder, adapt_params(fresh=True))
    source = AutoModelForSequenceClassification.from_pretrained(tiny_encoder)
    matrices = (
        name for name, each in source.bert.named_parameters() if each.ndim == 2 and "pooler" not in name
    )
    for name in matrices:
        assert not torch.equal(model.bert.get_parameter(name), source.bert.get_parameter(name))
