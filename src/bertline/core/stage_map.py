"""The stages of dvc.yaml as it stands, read without DVC, whose import takes longer than a small stage.

Does not fill in templates (`${...}`, foreach, matrix): what they name is left out. A reader that must be
complete asks DVC.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertline.core.yaml_text import parse_yaml

MAP = "dvc.yaml"


@dataclass(frozen=True, kw_only=True)
class StageEntry:
    """A stage of the map; paths are relative to `folder`, which is relative to the map."""

    folder: str
    commands: tuple[str, ...]
    deps: tuple[str, ...]  # local files and folders
    params: dict[str, tuple[str, ...]]  # file to keys; no keys: all of the file


def read_stages(root: Path) -> dict[str, StageEntry]:
    """Return the stages of the map in `root`, by name; none if DVC could not read it."""
    from ruamel.yaml.error import YAMLError  # here, as in `parse_yaml`

    try:
        document = parse_yaml((root / MAP).read_text("utf-8"))
        stages = document["stages"].items()
        return {name: _entry(fields) for name, fields in stages if "cmd" in fields}
    except (OSError, ValueError, YAMLError, TypeError, LookupError, AttributeError):
        return {}  # DVC says what is wrong with it


def _entry(fields: dict[str, Any]) -> StageEntry:
    commands = fields["cmd"]
    params: dict[str, tuple[str, ...]] = {}
    for each in fields.get("params") or ():
        for file, keys in each.items() if isinstance(each, dict) else (("params.yaml", [each]),):
            params[file] = (*params.get(file, ()), *(keys or ()))
    return StageEntry(
        folder=fields.get("wdir", "."),
        commands=tuple(commands) if isinstance(commands, list) else (commands,),
        deps=tuple(
            path for path in map(_path, fields.get("deps") or ()) if "://" not in path and "${" not in path
        ),
        params={file: keys for file, keys in params.items() if "${" not in file},
    )


def _path(dep: str | dict[str, Any]) -> str:
    return dep if isinstance(dep, str) else next(iter(dep))
