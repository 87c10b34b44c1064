"""Add to the config.json that transformers 5 writes the names that other readers look for.

text-embeddings-inference reads `hidden_size` and `num_hidden_layers`; DistilBERT, for one, has other names.

Version 5 keeps the settings of rotary positions and the kind of each layer in fields that version 4 does not
read. Version 4 would use its defaults instead and compute other logits without a warning. Version 5 ignores
the older names where it has its own.

Does not guarantee an older reading of what version 4 cannot express: local and global layers in an irregular
order, as they are left when `finetune.layers` drops some of ModernBERT's.
"""

import json
from pathlib import Path
from typing import Any

from transformers import PretrainedConfig

from bertline.core.files import write_json

SIZES = ("hidden_size", "num_hidden_layers")
THETA = {"full_attention": "global_rope_theta", "sliding_attention": "local_rope_theta"}


def add_names(path: Path, sizes: PretrainedConfig) -> None:
    """Add names to the config.json at `path`, which was written from `sizes`; BERT's needs none."""
    config = json.loads(path.read_text("utf-8"))
    common = {name: getattr(sizes, name) for name in SIZES if hasattr(sizes, name)}
    older = _rotary(config.get("rope_parameters") or {}) | _layers(config.get("layer_types") or [])
    if not (common | older).keys() <= config.keys():
        write_json(path, dict(sorted((common | older | config).items())))


def _rotary(rope: dict[str, Any]) -> dict[str, Any]:
    if "rope_theta" in rope:  # one setting for all layers
        scaling = {} if rope.get("rope_type", "default") == "default" else {"rope_scaling": rope}
        return {"rope_theta": rope["rope_theta"], **scaling}
    return {name: rope[kind]["rope_theta"] for kind, name in THETA.items() if kind in rope}


def _layers(kinds: list[str]) -> dict[str, Any]:
    """Return every how many layers attention is global, if that describes the `kinds` of all layers."""
    for every in range(1, len(kinds) + 1):
        if kinds == ["sliding_attention" if i % every else "full_attention" for i in range(len(kinds))]:
            return {"global_attn_every_n_layers": every}
    return {}
