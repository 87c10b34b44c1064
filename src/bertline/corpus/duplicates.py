"""Exact duplicates and contradicting labels, by `content_id`.

Guarantees that the first of several equal rows is kept and the order does not change. Does not find
near-duplicates: two texts that differ in one letter are two texts; `near_duplicates` finds those.
"""

from collections.abc import Collection, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from bertline.corpus.relational import connect, select_all
from bertline.corpus.rows import ROWS, read_chunks


def drop_duplicates(path: Path, *, multi_label: bool = False) -> Iterator[pa.Table]:
    """Yield the rows of the file `path` without those whose content and label came before, in the same order.

    A row whose text or label is null or blank equals no other: a broken batch must reach `validate` at
    its full size, not as one row. Of a multi-label target, a row may have no label, "". Memory: 8 bytes a
    row, and what DuckDB is allowed.
    """
    with connect() as database:
        repeated = select_all(
            database,
            """
            SELECT file_row_number FROM read_parquet($path, file_row_number=true)
            WHERE content_id IS NOT NULL AND (label <> '' OR label = '' AND $multi_label)
            QUALIFY file_row_number > min(file_row_number) OVER (PARTITION BY content_id, label)
            ORDER BY file_row_number
            """,
            {"path": str(path), "multi_label": multi_label},
        )["file_row_number"].combine_chunks()
    start = 0
    for chunk in read_chunks(path, ROWS):
        positions = pa.array(range(start, start + len(chunk)), pa.int64())
        yield chunk.filter(pc.invert(pc.is_in(positions, repeated)))
        start += len(chunk)


def contradicting(
    path: Path, labels: Collection[str] | None = None, *, multi_label: bool = False
) -> pa.Array:
    """Return the content ids that have more than one label in the file `path`, [contents] strings, sorted.

    Only sound labels count: not null, not blank and, if `labels` is given, one of these. A misspelt label
    must not condemn the well-labelled row of the same text. Of a multi-label target, no label is sound.
    """
    allowed = None if labels is None else sorted(labels)
    with connect() as database:
        return select_all(
            database,
            """
            SELECT content_id FROM read_parquet($path)
            WHERE (label <> '' AND ($labels IS NULL OR label IN (SELECT unnest($labels)))
                OR label = '' AND $multi_label)
            GROUP BY content_id HAVING content_id IS NOT NULL AND count(DISTINCT label) > 1
            ORDER BY content_id
            """,
            {"path": str(path), "labels": allowed, "multi_label": multi_label},
        )["content_id"].combine_chunks()
