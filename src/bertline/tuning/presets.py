"""Presets: files of a few settings that go well together, written into params.yaml by name."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertline.params.checking import check_params
from bertline.params.loading import PARAMS_FILE, read_document
from bertline.tuning.editing import Value, edit

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
    """Return what the preset says of itself: its first line."""
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
    new = file.with_suffix(".yaml.new")
    try:
        new.write_bytes(edit(file.read_bytes().decode(), settings).encode())  # line ends stay, too
        check_params(new)
        new.replace(file)
    except ValueError as error:
        said = str(error).removeprefix(f"{new}: ")
        raise ValueError(f"{_file(name)}: {said}; params.yaml is as it was") from None
    finally:
        new.unlink(missing_ok=True)
    return [Change(key, before[key], value) for key, value in settings.items() if before[key] != value]


def _file(name: str) -> Path:
    if name not in names():
        raise ValueError(
            f"there is no preset {name!r}; choose from {', '.join(names()) or 'none: presets/ is empty'}"
        )
    return FOLDER / f"{name}.yaml"


def _flat(document: dict[str, Any]) -> dict[str, Value]:
    """Return `section.key` to value; what is no section keeps its name, for `edit` to refuse."""
    flat: dict[str, Value] = {}
    for section, keys in document.items():
        flat |= (
            {f"{section}.{key}": value for key, value in keys.items()}
            if isinstance(keys, dict)
            else {section: keys}
        )
    return flat
