"""Presets: files of a few settings that go well together, written into params.yaml by name."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertline.core.files import replacing
from bertline.core.params_loading import PARAMS_FILE, read_document
from bertline.params.checking import check_names, check_params
from bertline.tuning.yaml_edit import Value, edit

FOLDER = Path("presets")


@dataclass(frozen=True)
class Change:
    """A setting that a preset changed."""

    name: str
    before: Value
    after: Value


def names() -> list[str]:
    """Return the names of the presets of the current folder."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def describe(name: str) -> str:
    """Return the description of the preset: its first line."""
    return _file(name).read_text("utf-8").partition("\n")[0].lstrip("# ")


def apply(name: str) -> list[Change]:
    """Write the settings of the preset into params.yaml, and return those that changed.

    Every other byte stays, and nothing is written if any setting is wrong.

    Raises:
        ValueError: there is no such preset, or params.yaml would be wrong with it.
    """
    before = _flat(read_document(PARAMS_FILE))
    settings = _flat(read_document(_file(name)))
    file = PARAMS_FILE.resolve()  # which may be a link
    with replacing(file, keep_mode=True) as new:
        try:
            check_names(settings)
            new.write_bytes(edit(file.read_bytes().decode(), settings).encode())  # line ends stay, too
            check_params(new)
        except ValueError as error:
            said = str(error).removeprefix(f"{new}: ")
            raise ValueError(f"{_file(name)}: {said}; params.yaml is unchanged") from None
    return [Change(key, before[key], value) for key, value in settings.items() if before[key] != value]


def _file(name: str) -> Path:
    if name not in names():
        raise ValueError(
            f"there is no preset {name!r}; choose from {', '.join(names()) or 'none: presets/ is empty'}"
        )
    return FOLDER / f"{name}.yaml"


def _flat(document: dict[str, Any]) -> dict[str, Value]:
    """Return `section.key` to value; other keys keep their name, and `edit` refuses them."""
    flat: dict[str, Value] = {}
    for section, keys in document.items():
        flat |= (
            {f"{section}.{key}": value for key, value in keys.items()}
            if isinstance(keys, dict)
            else {section: keys}
        )
    return flat
