"""A saved model is one that transformers 4 and 5 both load, with the tokenizer of the training."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertConfig

from bertline.encoder.classifier import build_classifier, save_classifier
from bertline.encoder.config_names import add_names
from bertline.tokens.truncation import load_tokenizer
from tests.support.architectures import build
from tests.support.tiny import CLASSES, PROJECT

OLD = os.environ.get("OLD_TRANSFORMERS")
"""A folder with transformers 4 and its tokenizers and huggingface_hub: `pip install --no-deps --target`."""


def save(kind: str, tiny_encoder: Path, tmp_path: Path, **changes: object) -> Path:
    """Save a classifier of `kind` with the tiny tokenizer, under a class that only transformers 5 has."""
    source = tmp_path / "source"
    build(kind, **changes).base_model.save_pretrained(source)
    (source / "tokenizer.json").write_bytes((tiny_encoder / "tokenizer.json").read_bytes())
    names = json.loads((tiny_encoder / "tokenizer_config.json").read_text())
    changed = names | {"tokenizer_class": "TokenizersBackend", "extra_special_tokens": ["[MASK]"]}
    (source / "tokenizer_config.json").write_text(json.dumps(changed))
    torch.manual_seed(0)
    save_classifier(build_classifier(source, CLASSES), source, 32, tmp_path / "saved")
    return tmp_path / "saved"


@pytest.mark.parametrize("kind", ["bert", "modernbert", "distilbert", "roberta"])
def test_no_name_of_one_version_stands_in_the_tokenizer_config(
    kind: str, tiny_encoder: Path, tmp_path: Path
) -> None:
    fields = json.loads((save(kind, tiny_encoder, tmp_path) / "tokenizer_config.json").read_text())
    assert fields["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert not {"backend", "is_local", "local_files_only", "auto_map", "extra_special_tokens"} & fields.keys()


@pytest.mark.parametrize(("kind", "typed"), [("bert", True), ("modernbert", False), ("distilbert", False)])
def test_the_tokenizer_returns_what_the_model_takes(
    kind: str, typed: bool, tiny_encoder: Path, tmp_path: Path
) -> None:
    folder = save(kind, tiny_encoder, tmp_path)
    encoded = AutoTokenizer.from_pretrained(folder)("my cat", "the dog")
    assert ("token_type_ids" in encoded) == typed
    assert encoded["input_ids"] == load_tokenizer(tiny_encoder).encode("my cat", "the dog").ids


def test_the_config_has_the_rotary_positions_under_their_older_names_too(tmp_path: Path) -> None:
    rope = {"full_attention": {"rope_theta": 5e4}, "sliding_attention": {"rope_theta": 5e3}}
    layers = ["full_attention", "sliding_attention"] * 2
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"rope_parameters": rope, "layer_types": layers}))
    add_names(path, BertConfig())
    config = json.loads(path.read_text())
    assert (config["global_rope_theta"], config["local_rope_theta"]) == (5e4, 5e3)
    assert config["global_attn_every_n_layers"] == 2
    assert config["rope_parameters"] == rope


def test_the_config_of_bert_stays_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"hidden_size":768,"num_hidden_layers":12}')
    add_names(path, BertConfig())
    assert path.read_text() == '{"hidden_size":768,"num_hidden_layers":12}'


def test_the_config_has_the_sizes_under_the_names_that_text_embeddings_inference_reads(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    folder = save("distilbert", tiny_encoder, tmp_path)
    config = json.loads((folder / "config.json").read_text())
    assert (config["hidden_size"], config["num_hidden_layers"]) == (config["dim"], config["n_layers"])
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    assert model.config.n_layers == config["n_layers"]


@pytest.mark.skipif(OLD is None, reason="OLD_TRANSFORMERS names no folder with transformers 4")
@pytest.mark.parametrize("kind", ["bert", "modernbert", "distilbert", "roberta"])
def test_transformers_4_computes_the_same_logits(kind: str, tiny_encoder: Path, tmp_path: Path) -> None:
    changes = {"initializer_range": 0.5} if kind == "modernbert" else {}
    folder = save(kind, tiny_encoder, tmp_path, **changes)
    answers = []
    for path in ("", OLD):
        command = [sys.executable, PROJECT / "tests/support/read_with_transformers.py", folder]
        done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, check=True)
        answers.append(json.loads(done.stdout))
    new, old = answers
    assert old.pop("version").startswith("4.")
    new.pop("version")
    for one, other in zip(new.pop("logits"), old.pop("logits"), strict=True):
        torch.testing.assert_close(torch.tensor(one), torch.tensor(other), atol=1e-5, rtol=0)
    assert new.pop("labels") == pytest.approx(old.pop("labels"), abs=1e-5)
    assert new == old
