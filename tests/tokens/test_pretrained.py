import shutil
import sys
from pathlib import Path

import pytest

from bertline.tokens.pretrained import find_pretrained, fingerprint, max_positions
from tests.support.architectures import build


def test_a_local_folder_is_taken_as_it_is(tiny_encoder: Path) -> None:
    assert find_pretrained(str(tiny_encoder)) == tiny_encoder


def test_the_packaged_encoder_is_found() -> None:
    assert (find_pretrained("sample:all-MiniLM-L6-v2") / "model.safetensors").stat().st_size > 80e6


def test_a_packaged_encoder_that_is_not_there_is_an_error_that_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    with pytest.raises(
        ValueError, match=r"^tokenize.weights sample:all-MiniLM-L6-v2 needs .*; run: make setup$"
    ):
        find_pretrained("sample:all-MiniLM-L6-v2")


@pytest.mark.parametrize("name", ["acme/tiny", "acme/tiny@main", "acme/tiny@" + "a" * 40])
def test_a_hub_name_is_served_from_the_hub_cache(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    from huggingface_hub import constants

    repository = tmp_path / "models--acme--tiny"
    shutil.copytree(tiny_encoder, repository / "snapshots" / ("a" * 40))
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text("a" * 40)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert fingerprint(find_pretrained(name)) == fingerprint(tiny_encoder)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("models/missing", "neither a folder here nor a model on the Hugging Face hub"),
        ("bert-base-uncased", "cannot be reached"),
        ("./missing", "there is no folder './missing'"),
        ("/a/b/missing", "there is no folder"),
        ("sample:gpt", "packaged weights: sample:all-MiniLM-L6-v2"),
        ("what is this?", "neither a folder"),
    ],
)
def test_a_name_that_leads_nowhere_says_what_was_tried(
    name: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nothing listens there
    with pytest.raises(ValueError, match=r"tokenize\.weights") as error:
        find_pretrained(name)
    assert says in str(error.value)


def test_a_folder_without_a_fast_tokenizer_says_which_file_is_missing(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "old"
    shutil.copytree(tiny_encoder, folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match=r"has no tokenizer\.json"):
        find_pretrained(str(folder))


def test_the_fingerprint_follows_the_weights(tiny_encoder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    shutil.copytree(tiny_encoder, folder)
    assert fingerprint(folder) == fingerprint(tiny_encoder)
    with (folder / "model.safetensors").open("ab") as file:
        file.write(b"x")
    assert fingerprint(folder) != fingerprint(tiny_encoder)


@pytest.mark.parametrize(
    ("kind", "tokens"),
    [
        ("bert", 34),
        ("roberta", 33),
        ("mpnet", 32),
        ("longformer", 33),
        ("esm", 33),
        ("modernbert", 34),
        ("xlnet", None),
    ],
)
def test_positions_are_counted_as_the_encoder_does(kind: str, tokens: int | None) -> None:
    changes = {"max_position_embeddings": 34} if tokens else {"d_model": 16, "n_layer": 2, "n_head": 2}
    changes |= {"attention_window": [4, 4, 4]} if kind == "longformer" else {}
    assert max_positions(build(kind, **changes).config.to_dict()) == tokens
