"""The parameters of tests: those that ship, from a copy, because params.yaml is the user's.

`shipped/` holds that and other files of the user as they ship. A new parameter is a line in its params.yaml,
and nowhere else.
"""

import copy
import importlib
from functools import cache
from pathlib import Path
from typing import Any

import yaml  # comes with transformers; ruamel.yaml is missing where only the training is tested

SHIPPED = Path(__file__).with_name("shipped")
SHIPPED_PARAMS = SHIPPED / "params.yaml"

TINY_TRAINING: dict[str, Any] = {
    "epochs": 2,
    "learning_rate": 3e-3,
    "batch_size": 8,
    "threads": 1,
    "checkpoint_every": 5,
}
"""What `finetune` and `adapt` need otherwise for a tiny model and few texts."""


def section(name: str, **changes: object) -> Any:
    """Return the `Params` of a section as they ship, but for `changes`."""
    params = importlib.import_module(f"bertline.params.{name}").Params
    return params(**copy.deepcopy(_document()[name]) | changes)


def write_params(folder: Path, **sections: dict[str, object]) -> None:
    """Write params.yaml as it ships into `folder`, with some keys of some sections changed."""
    from ruamel.yaml import YAML  # here, because of the comment above

    document = YAML(typ="safe").load(SHIPPED_PARAMS.read_text(encoding="utf-8"))
    for name, changes in sections.items():
        document[name] |= changes
    with (folder / "params.yaml").open("w", encoding="utf-8") as file:
        YAML().dump(document, file)


@cache
def _document() -> dict[str, dict[str, Any]]:
    document: dict[str, dict[str, Any]] = yaml.safe_load(SHIPPED_PARAMS.read_text(encoding="utf-8"))
    return document
