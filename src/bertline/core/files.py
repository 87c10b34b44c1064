"""Files: written whole or not at all, readable by whom umask lets read, and hashed.

Guarantees of every file written through `replacing`:

- A reader sees the old file or the new one, never a part.
- It has the mode that umask gives. Libraries such as safetensors write through a private temporary file
  (mode 0600), which another user could not read.
- A block that fails leaves nothing: a full disk needs the room.
"""

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from safetensors import SafetensorError


@contextmanager
def disk_errors() -> Iterator[None]:
    """Raise an OSError where safetensors or tokenizers report a full or failing disk in their own way."""
    try:
        yield
    except SafetensorError as error:
        raise OSError(str(error)) from error
    except Exception as error:
        if type(error) is Exception:  # tokenizers has no exception of its own
            raise OSError(str(error)) from error
        raise


@contextmanager
def replacing(
    path: Path, *, writer: str = "new", keep_mode: bool = False, durable: bool = False
) -> Iterator[Path]:
    """Yield a path in the folder of `path` to write a file to; after the block the file replaces `path`.

    Args:
        path: where the file shall be; its folder must exist.
        writer: part of the temporary name. Processes that may write at the same time need different ones.
        keep_mode: keep the mode of the file that is replaced, if there is one: for files that users own.
        durable: wait until the file is on the disk, so that it is whole after a power cut too.
    """
    new = path.with_name(f".{path.name}.{writer}")
    try:
        new.unlink(missing_ok=True)  # left behind by a killed process, perhaps with another mode
        new.touch()
        mode = (path if keep_mode and path.exists() else new).stat().st_mode
        yield new
        new.chmod(stat.S_IMODE(mode))
        if durable:
            with new.open("rb") as stream:
                os.fsync(stream.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON in UTF-8, whole or not at all."""
    with replacing(path) as new:
        new.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def apply_umask(folder: Path) -> None:
    """Give all files and folders in `folder` the mode that umask gives: some libraries write privately."""
    with TemporaryDirectory(dir=folder) as private:
        file, inner = Path(private, "file"), Path(private, "folder")
        file.touch()
        inner.mkdir()
        file_mode, folder_mode = (stat.S_IMODE(each.stat().st_mode) for each in (file, inner))
    for path in folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(folder_mode if path.is_dir() else file_mode)


def content_hash(*parts: str | Path) -> str:
    """Return 16 hex digits that identify texts, files and folders (in a package: its Python files)."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            files, text = [], part
        else:
            files = sorted(part.rglob("*.py" if (part / "__init__.py").exists() else "*")) or [part]
            text = part.name
        digest.update(f"{len(text)}:{text}".encode())
        for file in files:
            if file.is_file():
                name = file.relative_to(part).as_posix()
                with file.open("rb") as stream:
                    digest.update(name.encode() + hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]
