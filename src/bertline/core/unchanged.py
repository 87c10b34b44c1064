"""Whether what a stage was started with is what DVC records when it ends.

DVC hashes dependencies and parameters when the command of a stage has ended. So a stage that DVC runs looks
at them itself, at its start and at its end, and fails if they differ: what fails enters neither dvc.lock nor
the run cache.

- Parameters count by value, and only those that the stage names in dvc.yaml.
- A small file, such as code, counts by content. A large one counts by size, time of change and inode.
- What `.dvcignore` names does not count: DVC does not see it either.
- Nothing is looked at where DVC does not run the command, because then nothing is recorded.

Does not see a change that is taken back before the next look, dependencies outside this machine, and what
dvc.yaml names by templates. Between the last look and DVC's own some milliseconds pass.
"""

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bertline.core.stage_map import StageEntry, read_stages

_STAGE = "DVC_STAGE"  # set by DVC for the command of a stage: its name, with the path of another map
_SMALL = 256 * 1024  # bytes; hashing so many takes less than a millisecond
_SETTLING = 1.0  # seconds until a file that is being written is whole
_PYTHON_LEAVES = "__pycache__"  # written while a stage runs; in .dvcignore, too


@dataclass(frozen=True)
class _File:
    about: tuple[int, int, int]  # size, time of change in nanoseconds, inode
    content: bytes | None  # the hash of a small file


class Inputs:
    """The dependencies and parameters of a stage at one moment.

    Args:
        name: of the stage, for the error.
        entry: of the stage in dvc.yaml, which lies in the current folder.
    """

    def __init__(self, name: str, entry: StageEntry) -> None:
        self._name, self._entry = name, entry
        self._params = {file: _read(file) for file in entry.params}
        self._files = {path: _look(path) for path in self._paths()}
        self._ignored: set[str] = set()

    def require_unchanged(self) -> None:
        """Raise a ValueError that names what has changed since, if anything has."""
        if not self._changed():
            return
        time.sleep(_SETTLING)
        if changed := self._changed():
            others = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
            raise ValueError(f"{changed[0]}{others} changed while {self._name} ran: run again")

    def _changed(self) -> list[str]:
        return [*self._changed_params(), *self._changed_files()]

    def _paths(self) -> Iterator[str]:
        for dep in self._entry.deps:
            if not os.path.isdir(dep):  # noqa: PTH112 - these lines run over thousands of files
                yield dep
            for folder, folders, files in os.walk(dep):  # as DVC does, not into links to folders
                folders[:] = (each for each in folders if each != _PYTHON_LEAVES)
                yield from (f"{folder}/{file}" for file in files)

    def _changed_files(self) -> list[str]:
        before, now = self._files, set(self._paths())
        changed = sorted(
            path for path in now | before.keys() if path not in before or _differs(path, before[path])
        )
        if asked := [path for path in changed if path not in self._ignored]:
            self._ignored |= _ignored(asked)
        return [path for path in changed if path not in self._ignored]

    def _changed_params(self) -> Iterator[str]:
        for file, before in self._params.items():
            now = _read(file)
            if now == before:
                continue
            keys = self._entry.params[file]
            sections = [_parse(file, text) for text in (before, now)]
            if None in sections or not keys:
                yield file
                continue
            for key in keys:
                name = key if file == "params.yaml" else f"{file}: {key}"
                yield from _differences(name, *(_value(section, key) for section in sections))


_inputs: Inputs | None = None
"""Of the stage that this process runs; a stage is a process of its own."""


def remember_inputs() -> None:
    """Look at the dependencies and parameters of the stage that this process runs, if DVC started it."""
    global _inputs  # noqa: PLW0603 - see there
    name = os.environ.get(_STAGE, "").rpartition(":")[2]
    entry = read_stages(Path()).get(name) if name else None
    _inputs = Inputs(name, entry) if entry else None


def require_unchanged() -> None:
    """Raise a ValueError if what DVC records differs from when `remember_inputs` was called."""
    if _inputs is not None:
        _inputs.require_unchanged()


def _look(path: str) -> _File | None:
    try:
        about = os.stat(path)  # noqa: PTH116 - as above
        small = about.st_size <= _SMALL
        return _File((about.st_size, about.st_mtime_ns, about.st_ino), _hash(path) if small else None)
    except OSError:  # it is not there, or is a link to nothing
        return None


def _differs(path: str, before: _File | None) -> bool:
    try:
        about = os.stat(path)  # noqa: PTH116 - as above
    except OSError:
        return before is not None
    if before is None:
        return True
    if before.about == (about.st_size, about.st_mtime_ns, about.st_ino):
        return False
    return before.content is None or about.st_size != before.about[0] or _hash(path) != before.content


def _hash(path: str) -> bytes:
    return hashlib.blake2b(Path(path).read_bytes()).digest()


def _ignored(paths: list[str]) -> set[str]:
    """Return those of `paths` that DVC ignores, in its own judgement, which takes a second."""
    command = [sys.executable, "-m", "dvc", "check-ignore", "--stdin"]
    done = subprocess.run(command, input="\n".join(paths), capture_output=True, text=True, check=False)
    return set(done.stdout.splitlines())


def _read(file: str) -> bytes | None:
    try:
        return Path(file).read_bytes()
    except OSError:
        return None


def _parse(file: str, text: bytes | None) -> object:
    """Return what a file of parameters says; None for TOML, or if it is half written."""
    from ruamel.yaml import YAML  # here, as in `read_document`
    from ruamel.yaml.error import YAMLError

    if text is None or Path(file).suffix not in (".yaml", ".yml", ".json"):
        return None
    try:
        return YAML(typ="safe").load(text)
    except (YAMLError, ValueError):
        return None


def _value(section: object, key: str) -> object:
    for part in key.split("."):
        section = section.get(part) if isinstance(section, dict) else None
    return section


def _differences(name: str, before: object, now: object) -> Iterator[str]:
    """Yield the dotted names of the parameters that differ."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in {**before, **now}:
            yield from _differences(f"{name}.{key}", before.get(key), now.get(key))
    elif repr(before) != repr(now):  # 1 and 1.0 are two values to DVC's file
        yield name
