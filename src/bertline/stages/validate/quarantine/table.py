"""The table of rows that `validate` quarantined, and finding rows in it.

Imports no Great Expectations, whose start-up costs seconds: people look at the quarantine from a terminal.
"""

from collections.abc import Iterator, Sequence
from functools import reduce
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from bertline.rows.id_prefix import require_one, require_prefix
from bertline.rows.io import read_chunks
from bertline.rows.schema import ROW_SCHEMA

QUARANTINE = pa.schema(
    [
        *ROW_SCHEMA,
        pa.field("rule", pa.string()),  # the first that the row breaks
        pa.field("reason", pa.string()),
        pa.field("decision", pa.string()),  # "drop" where a person decided so, else null
    ]
)

DROPPED = "dropped"
"""The rule of a row that breaks none now, but broke one when a person dropped it."""


def find_by_id(path: Path, prefixes: Sequence[str]) -> pa.Table:
    """Return the rows whose ids start with `prefixes`, each once, as `QUARANTINE` in the order of the file.

    Raises:
        ValueError: there is no quarantine, or a prefix is short, or stands for no row or for several.
    """
    wanted = [require_prefix(prefix) for prefix in prefixes]
    found = QUARANTINE.empty_table()
    for chunk in read_chunks(path, QUARANTINE):
        named = reduce(pc.or_, (pc.starts_with(chunk["id"], prefix) for prefix in wanted))
        found = pa.concat_tables([found, chunk.filter(named)])
    for prefix in wanted:
        require_one(prefix, found["id"].to_pylist(), "quarantined row", "bertline quarantine list")
    return found


def find_by_rule(path: Path, rule: str) -> Iterator[pa.Table]:
    """Yield the rows listed under `rule`, as `QUARANTINE`.

    Raises:
        ValueError: there is no quarantine, or no row in it is listed under `rule`.
    """
    rules: set[str] = set()
    for chunk in read_chunks(path, QUARANTINE):
        rules |= set(pc.unique(chunk["rule"]).to_pylist())
        yield chunk.filter(pc.equal(chunk["rule"], rule))
    if rule not in rules:
        raise ValueError(
            f"no quarantined row broke {rule!r}; there are rows of: {', '.join(sorted(rules)) or 'no rule'}"
        )
