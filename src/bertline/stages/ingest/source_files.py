"""Which files a source names: a path or a glob under data/incoming/."""

import re
from pathlib import Path, PurePosixPath

from bertline.rows.incoming import COMPRESSIONS, INCOMING, TEXT_FILES


def find_files(key: str, source: str) -> list[Path]:
    """Return the files that `source`, the value of the key `key` of ingest, names: week-9 before week-10.

    Raises:
        ValueError: no file matches, or one lies elsewhere than under data/incoming/.
    """
    pattern = PurePosixPath(source)
    if not pattern.is_relative_to(INCOMING) or ".." in pattern.parts:
        raise ValueError(
            f"ingest.{key} is {source!r}; files must lie under {INCOMING}/, named from the project's folder:"
            " DVC notices new data only there"
        )
    if any("**" in part and part != "**" for part in pattern.parts):  # Python 3.13 would read it as *
        raise ValueError(
            f"ingest.{key} is {source!r}, which is not a glob: ** must stand alone; "
            f"allowed: e.g. {INCOMING}/**/*.csv"
        )
    found = [Path(source)] if Path(source).is_file() else sorted(Path().glob(source), key=_natural)
    # .csv.dvc is what `dvc add` leaves beside a file, .gitkeep and .gitignore are git's.
    files = [path for path in found if path.is_file() and path.name[0] != "." and path.suffix != ".dvc"]
    if not files:
        hint = f"put files there, or name them with a glob such as {INCOMING}/*.csv"
        raise ValueError(f"no file matches ingest.{key} {source!r}; {hint}")
    return files


def _natural(path: Path) -> tuple[list[tuple[str, int]], str]:
    """Sort week-9 before week-10: the files of a delivery come in the order they were meant."""
    name = path.as_posix()
    return [(text, int(digits or 0)) for text, digits in re.findall(r"(\D*)(\d*)", name)], name


def delivery_name(path: Path) -> str:
    """Return the name of a file as a delivery: its path under data/incoming/ without known suffixes."""
    name = path.relative_to(INCOMING)
    for known in (COMPRESSIONS, (*TEXT_FILES, ".parquet")):
        if name.suffix.lower() in known:
            name = name.with_suffix("")
    return name.as_posix()
