"""Refuse a model folder that asks to run code of its own, before any library reads it.

transformers can import Python files that a model brings along, where an `auto_map` names them. By
default it asks on the terminal and takes the text on stdin for the answer. bertline forbids this everywhere
(`trust_remote_code=False`), and refuses a folder that cannot be used without such code:

1. An `auto_map` beside a `model_type` that transformers does not implement. Beside one that it implements,
   the folder is used, with the class of transformers; the code in the folder never runs.
2. An `auto_map` in a nested config: transformers builds nested models without asking us.
3. Attention or other kernels from a repository of the hub (`attn_implementation: owner/name`).
4. Weights under another name than that of the file that is fingerprinted (`transformers_weights`).
5. An adapter beside the model: it would change the weights, and its base may be anywhere.

Does not look into weights: these are read from safetensors files only, which hold no code.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transformers import CONFIG_MAPPING

WEIGHTS = "model.safetensors"
IMPLEMENTATIONS = ("attn_implementation", "experts_implementation")


def refuse_code(folder: Path) -> None:
    """Raise ValueError if a config file in `folder` asks for code, or for weights from elsewhere."""
    for path in sorted(folder.glob("*config.json")):
        try:
            config = json.loads(path.read_bytes())
        except ValueError:
            continue  # the code that needs this file reports the damage
        if isinstance(config, dict) and (reason := _reason(config, folder)):
            raise ValueError(
                f"the model in {folder} cannot be used: {path.name} {reason}; take an encoder that "
                "transformers implements itself, saved as config.json, tokenizer.json and model.safetensors"
            )
    if (folder / "adapter_config.json").exists():
        raise ValueError(
            f"the model in {folder} cannot be used: it holds an adapter beside the model; merge it with "
            "peft's merge_and_unload and save the result in another folder"
        )


def _reason(config: dict[str, Any], folder: Path) -> str | None:
    """Return the reason to refuse `config`; None if there is none."""
    if config.get("auto_map") and not _is_native(config, folder):
        return f"names code of its own (auto_map: {_first(config['auto_map'])}), which bertline never runs"
    for nested in _nested(config):
        if nested.get("auto_map"):
            return f"names code of its own (auto_map: {_first(nested['auto_map'])}) for a part of the model"
    for each in (config, *_nested(config)):
        for name in IMPLEMENTATIONS:
            for value in (each.get(name), each.get(f"_{name}")):
                if "/" in str(value or ""):
                    return f"asks for code from the hub ({name}: {_first(value)}), which bertline never runs"
    weights = config.get("transformers_weights")
    return f"names other weights ({weights}) than {WEIGHTS}" if weights not in (None, WEIGHTS) else None


def _is_native(config: dict[str, Any], folder: Path) -> bool:
    """Return whether transformers implements the model that `config`, or else config.json, is of."""
    kind = config.get("model_type")
    if kind is None:  # a config of the tokenizer or of a processor
        try:
            kind = json.loads((folder / "config.json").read_bytes()).get("model_type")
        except (OSError, ValueError, AttributeError):
            return False
    return isinstance(kind, str) and kind in CONFIG_MAPPING


def _nested(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield all objects within `config`, at any depth, but for those that only name classes."""
    waiting = [value for name, value in config.items() if name != "auto_map"]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield value
            waiting += [each for name, each in value.items() if name != "auto_map"]
        elif isinstance(value, list):
            waiting += value


def _first(value: object) -> object:
    """Return one of the names in `value`, for a message."""
    while isinstance(value, dict | list) and value:
        value = next((each for each in (value.values() if isinstance(value, dict) else value) if each), None)
    return value
