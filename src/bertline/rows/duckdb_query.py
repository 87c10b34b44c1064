"""DuckDB for what needs all rows at once: grouping, joining and sorting more of them than memory holds.

Guarantees bounded memory (it spills to disk) and no use of the network. Does not guarantee an order:
a query that needs one says ORDER BY over something unique.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import duckdb
import pyarrow as pa
from filelock import FileLock, Timeout

from bertline.rows.schema import CHUNK

SCRATCH = Path(".bertline/scratch")  # on the project's disk: a system's /tmp may be small, or memory
MEMORY = "1500MB"


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Make a folder that exists during the block; delete those of killed processes."""
    SCRATCH.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        with FileLock(SCRATCH / "lock"):  # or one would clear what another is about to lock
            for lock in SCRATCH.glob("*.lock"):
                with suppress(Timeout), FileLock(lock, blocking=False):
                    shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
                    lock.unlink(missing_ok=True)
            folder = stack.enter_context(tempfile.TemporaryDirectory(dir=SCRATCH))
            own = Path(f"{folder}.lock")
            stack.callback(own.unlink, missing_ok=True)
            stack.enter_context(FileLock(own))
        yield Path(folder)


@contextmanager
def connect() -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a database in memory that spills to disk; tables of a query are Parquet files, by their path."""
    settings: dict[str, str | int | float | list[str]] = {
        "memory_limit": MEMORY,
        "preserve_insertion_order": False,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    with (
        scratch_folder() as folder,
        duckdb.connect(config=settings | {"temp_directory": str(folder)}) as database,
    ):
        database.execute("SET enable_progress_bar = false")
        database.execute("SET TimeZone = 'UTC'")  # or time stamps come back in the machine's zone
        yield database


def select(
    database: duckdb.DuckDBPyConnection, query: str, parameters: dict[str, object]
) -> Iterator[pa.Table]:
    """Yield the rows of `query`, at most `CHUNK` rows at a time; `$name` in it stands for a parameter."""
    for batch in database.sql(query, params=parameters).to_arrow_reader(CHUNK):
        yield pa.Table.from_batches([batch])


def select_all(database: duckdb.DuckDBPyConnection, query: str, parameters: dict[str, object]) -> pa.Table:
    """Return the rows of `query` as one table in memory."""
    return database.sql(query, params=parameters).to_arrow_table()
