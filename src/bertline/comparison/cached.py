"""Tables of rows that an earlier run has made, read from DVC's cache; nothing is fetched for them."""

import json
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bertline.comparison.sides import Side


def read_columns(side: Side, path: Path, columns: list[str]) -> pa.Table | None:
    """Return `columns` of the table `path`, an output of the run of `side`; None if it is not in the cache.

    One that this version of bertline cannot read any more is None, too.
    """
    file = side.root / path if side.kind == "candidate" else _cached_file(side, path)
    try:
        return pq.read_table(file, columns=columns) if file and file.is_file() else None
    except (pa.ArrowException, OSError, KeyError):
        return None


def _cached_file(side: Side, path: Path) -> Path | None:
    """Return where DVC's cache has the output `path`, which may lie in a folder that is the output."""
    wanted = side.output(path.as_posix())
    if wanted is None:
        return None
    from dvc.repo import Repo

    with closing(Repo(str(side.root))) as repo:
        cache = repo.cache.local
        if wanted.endswith(".dir"):
            listing = Path(cache.oid_to_path(wanted))
            entries = json.loads(listing.read_text("utf-8")) if listing.is_file() else []
            files = {entry["relpath"]: entry["md5"] for entry in entries}
            ends = (name for name in files if path.as_posix().endswith(f"/{name}"))
            wanted = files.get(next(ends, ""))
        return Path(cache.oid_to_path(wanted)) if wanted else None
