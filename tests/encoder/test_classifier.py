"""The start of a classifier: the weights of an encoder, a head of its own, and nothing by chance."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import ModernBertConfig, ModernBertForMaskedLM

from bertline.core.files import disk_errors
from bertline.encoder.classifier import build_classifier, load_classifier, save_classifier
from bertline.encoder.unpadding import enable_unpadding
from bertline.tokens.truncation import load_tokenizer
from tests.support.architectures import SIZE, build
from tests.support.tiny import CLASSES


def test_a_head_that_came_with_the_weights_is_drawn_anew(tiny_encoder: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    save_classifier(build_classifier(tiny_encoder, CLASSES), tiny_encoder, 32, tmp_path)
    saved = load_classifier(tmp_path)
    again = build_classifier(tmp_path, CLASSES)
    assert not torch.equal(again.classifier.weight, saved.classifier.weight)
    for one, other in zip(again.bert.parameters(), saved.bert.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("classes", [("a", "b"), CLASSES])
def test_of_a_head_for_other_classes_nothing_is_kept(classes: tuple[str, ...], tmp_path: Path) -> None:
    model = build("roberta")
    model.save_pretrained(tmp_path)
    again = build_classifier(tmp_path, classes)
    assert not torch.equal(again.classifier.dense.weight, model.classifier.dense.weight)
    assert torch.equal(
        again.roberta.encoder.layer[0].output.dense.weight, model.roberta.encoder.layer[0].output.dense.weight
    )


def test_weights_under_other_names_are_refused_not_replaced_by_chance(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    for file in tiny_encoder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(tiny_encoder / "model.safetensors")
    save_file({f"student.{name}": each for name, each in weights.items()}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="cannot be used"):
        build_classifier(tmp_path, CLASSES)


def test_a_damaged_file_of_weights_is_named(tiny_encoder: Path, tmp_path: Path) -> None:
    for file in tiny_encoder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(ValueError, match="cannot be used"):
        build_classifier(tmp_path, CLASSES)


def change_config(folder: Path, **fields: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | fields))


def spoil_weights(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["encoder.layer.0.output.dense.weight"][0, 0] = float("nan")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "unknown kind": (lambda folder: change_config(folder, model_type="foobar"), "foobar"),
    "not of texts": (lambda folder: change_config(folder, model_type="vit"), "ViTConfig"),
    "text for a number": (lambda folder: change_config(folder, hidden_size="32"), "hidden_size"),
    "no heads": (lambda folder: change_config(folder, num_attention_heads=0), "ZeroDivisionError"),
    "unknown activation": (lambda folder: change_config(folder, hidden_act="geluu"), "geluu"),
    "no config": (lambda folder: (folder / "config.json").write_text('{"a":'), "config"),
    "another size": (
        lambda folder: change_config(folder, intermediate_size=65),
        "of the shape that config.json sets",
    ),
    "padding beyond the vocabulary": (
        lambda folder: change_config(folder, pad_token_id=99),
        "AssertionError",
    ),
    "no number": (spoil_weights, "encoder.layer.0.output.dense.weight has weights that are NaN or infinite"),
}


@pytest.mark.parametrize(("spoil", "says"), FAULTS.values(), ids=FAULTS.keys())
def test_a_folder_that_cannot_be_used_says_why_in_one_line(
    spoil: Callable[[Path], object], says: str, tiny_encoder: Path, tmp_path: Path
) -> None:
    for file in tiny_encoder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    spoil(tmp_path)
    with pytest.raises(ValueError, match="cannot be used: ") as caught:
        build_classifier(tmp_path, CLASSES)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_damaged_tokenizer_is_named(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text('{"a":')
    with pytest.raises(ValueError, match=r"tokenizer\.json cannot be read"):
        load_tokenizer(tmp_path)


def test_a_tokenizer_that_cannot_be_written_is_an_error_of_the_disk(tiny_encoder: Path) -> None:
    tokenizer = Tokenizer.from_file(str(tiny_encoder / "tokenizer.json"))
    with pytest.raises(OSError, match="No space left on device"), disk_errors():
        tokenizer.save("/dev/full")
    with pytest.raises(KeyError), disk_errors():
        raise KeyError


def test_an_encoder_that_was_never_fine_tuned_does_not_answer(tiny_encoder: Path) -> None:
    with pytest.raises(ValueError, match=r"it is not fine-tuned, it has no classifier\.bias"):
        load_classifier(tiny_encoder)


def test_the_head_that_modernbert_was_pre_trained_with_is_kept(tmp_path: Path) -> None:
    source = ModernBertForMaskedLM(ModernBertConfig(vocab_size=40, pad_token_id=0, **SIZE))
    source.save_pretrained(tmp_path)
    model = build_classifier(tmp_path, CLASSES)
    assert torch.equal(model.head.dense.weight, source.head.dense.weight)


def test_bigbird_attends_alike_whatever_it_has_seen_and_when_it_is_loaded_again(tmp_path: Path) -> None:
    build("big_bird", block_size=4, num_random_blocks=1).base_model.save_pretrained(tmp_path / "encoder")
    model = build_classifier(tmp_path / "encoder", CLASSES).eval()
    enable_unpadding(model)  # tries out short texts
    model.save_pretrained(tmp_path / "model")
    long_BT = torch.arange(200).remainder(40)[None]
    with torch.no_grad():
        torch.testing.assert_close(load_classifier(tmp_path / "model")(long_BT).logits, model(long_BT).logits)


@pytest.mark.parametrize(("umask", "expected"), [(0o022, 0o644), (0o077, 0o600)])
def test_others_may_read_a_saved_model_if_umask_lets_them(
    umask: int, expected: int, tiny_encoder: Path, tmp_path: Path
) -> None:
    before = os.umask(umask)
    try:
        save_classifier(build_classifier(tiny_encoder, CLASSES), tiny_encoder, 32, tmp_path)
    finally:
        os.umask(before)
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == dict.fromkeys(
        ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"), expected
    )
