"""What the report says about groups of rows that lie on one side: their number, and the largest one.

Does not guarantee that groups are of a useful size: a group that fills most of a side makes that side
speak of one customer, which the stage warns about.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from bertline.rows.io import read_chunks
from bertline.stages.split.assign import SIDES, groups

LARGE = 0.5  # share of a side from which a group is warned about


def count_groups(folder: Path, column: str) -> dict[str, Any]:
    """Return the groups of the splits in `folder`: how many, on how many sides, and the largest of each side.

    Raises:
        ValueError: no row has a value of `column`.
    """
    counts = {name: _count(folder / f"{name}.parquet", column) for name in SIDES}
    sides_of = Counter(group for found in counts.values() for group in found if group is not None)
    if not sides_of:
        raise ValueError(
            f"split.group_column is {column!r}, but no row has a value of it; name the column in"
            " ingest.keep_columns too, or set split.group_column to source, batch or null"
        )
    return {
        "column": column,
        "groups": len(sides_of),
        "straddling": sum(sides > 1 for sides in sides_of.values()),
        "rows_without": sum(found[None] for found in counts.values()),
        "largest": {name: _largest(found) for name, found in counts.items()},
        "rows": {name: found.total() for name, found in counts.items()},
    }


def warnings(found: Mapping[str, Any]) -> list[str]:
    """Return a line for each side that one group fills, and one if groups lie on several sides."""
    lines = [
        f"warning: one group of {found['column']!r} holds {rows} of the {found['rows'][name]} {name} rows;"
        " what they show is mostly true of that group"
        for name, rows in found["largest"].items()
        if rows > LARGE * found["rows"][name]
    ]
    if found["straddling"]:
        lines.append(
            f"warning: {found['straddling']} groups of {found['column']!r} lie on several sides, because the"
            " official split or the dates of split.test_from go first"
        )
    return lines


def _count(path: Path, column: str) -> Counter[str | None]:
    counts: Counter[str | None] = Counter()
    for chunk in read_chunks(path):
        for each in pc.value_counts(pa.chunked_array([groups(chunk, column)]).combine_chunks()).to_pylist():
            counts[each["values"]] += each["counts"]
    return counts


def _largest(found: Counter[str | None]) -> int:
    """Return the rows of the largest group of a side."""
    return max((rows for group, rows in found.items() if group is not None), default=0)
