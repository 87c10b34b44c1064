"""The columns of the user's files that rows keep, in the one column `extra`: a map from name to text."""

import pyarrow as pa
import pyarrow.compute as pc

EXTRA = "extra"
EXTRA_TYPE = pa.map_(pa.string(), pa.string())


def extra_names(rows: pa.Table) -> list[str]:
    """Return the names of the kept columns that any of `rows` has a value of, sorted."""
    if EXTRA not in rows.column_names:
        return []
    return sorted({name for chunk in rows[EXTRA].chunks for name in pc.unique(chunk.keys).to_pylist()})


def extra_column(rows: pa.Table, name: str) -> pa.Array:
    """Return the kept column `name` as strings [rows], null where a row has no value."""
    if EXTRA not in rows.column_names:
        return pa.nulls(len(rows), pa.string())
    return pc.map_lookup(rows[EXTRA], pa.scalar(name), "first").combine_chunks()
