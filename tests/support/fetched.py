"""What the tests of the fetching share."""

import os
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq

from bertline.fetching.fetch import fetch
from bertline.rows.duckdb_query import SCRATCH
from tests.support.params import section

SNAPSHOT = "data/incoming/fetched.parquet"
Sql = Callable[..., None]
"""Runs statements in a database."""


def bring(source: str, **knobs: str) -> list[str]:
    """Fetch and return what is shown of each file."""
    return [str(each) for each in fetch(section("fetch", source=source, **knobs), os.environ.get)]


def rows(path: str) -> list[tuple[object, ...]]:
    """Return the rows of a Parquet file, as tuples in the order of its columns."""
    return [tuple(row.values()) for row in pq.read_table(path).to_pylist()]


def files() -> list[str]:
    """Return every file that lies in the current project, hidden ones too, but for a lock."""
    found = {path for path in Path().rglob("*") if path.is_file()}
    return sorted(path.as_posix() for path in found - {SCRATCH / "lock"})
