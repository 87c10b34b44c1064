import shutil
from pathlib import Path

import pytest

from bertline.modeling.weights import find_weights, fingerprint


def test_a_local_folder_is_taken_as_it_is(tiny_encoder: Path) -> None:
    assert find_weights(str(tiny_encoder)) == tiny_encoder


def test_the_packaged_encoder_is_found() -> None:
    assert (find_weights("sample:all-MiniLM-L6-v2") / "model.safetensors").stat().st_size > 80e6


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
    assert fingerprint(find_weights(name)) == fingerprint(tiny_encoder)


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
        find_weights(name)
    assert says in str(error.value)


def test_a_folder_without_a_fast_tokenizer_says_which_file_is_missing(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "old"
    shutil.copytree(tiny_encoder, folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match=r"has no tokenizer\.json"):
        find_weights(str(folder))


def test_the_fingerprint_follows_the_weights(tiny_encoder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    shutil.copytree(tiny_encoder, folder)
    assert fingerprint(folder) == fingerprint(tiny_encoder)
    with (folder / "model.safetensors").open("ab") as file:
        file.write(b"x")
    assert fingerprint(folder) != fingerprint(tiny_encoder)
