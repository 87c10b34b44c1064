"""Exact duplicates and contradicting labels, by `content_id`.

Guarantees that the first of several equal rows is kept and the order does not change. Does not find
near-duplicates: two texts that differ in one letter are two texts; `near_duplicates` finds those.
"""

from collections.abc import Collection, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from bertline.rows.duckdb_query import connect, select_all
from bertline.rows.io import read_chunks
from bertline.rows.labels import SINGLE_LABEL, LabelSpace
from bertline.rows.schema import ROW_SCHEMA


def drop_duplicates(path: Path, space: LabelSpace = SINGLE_LABEL) -> Iterator[pa.Table]:
    """Yield the rows of the file `path` without those whose content and label came before, in the same order.

    A row whose text or label is null or blank equals no other: a broken batch must reach `validate` at
    its full size, not as one row. A row of a multi-label target may have no label, "". Memory: 8 bytes a
    row, and DuckDB's limit.
    """
    with connect() as database:
        repeated = select_all(
            database,
            f"""
            SELECT file_row_number FROM read_parquet($path, file_row_number=true)
            WHERE content_id IS NOT NULL AND {space.labelled}
            QUALIFY file_row_number > min(file_row_number) OVER (PARTITION BY content_id, label)
            ORDER BY file_row_number
            """,  # noqa: S608  no text from outside
            {"path": str(path)},
        )["file_row_number"].combine_chunks()
    start = 0
    for chunk in read_chunks(path, ROW_SCHEMA):
        positions = pa.array(range(start, start + len(chunk)), pa.int64())
        yield chunk.filter(pc.invert(pc.is_in(positions, repeated)))
        start += len(chunk)


def contradicting(
    path: Path, labels: Collection[str] | None = None, space: LabelSpace = SINGLE_LABEL
) -> pa.Array:
    """Return the content ids that have more than one label in the file `path`, [contents] strings, sorted.

    Only sound labels count: not null, not blank and, if `labels` is given, one of these. A misspelt label
    must not quarantine the well-labelled row of the same text. With a multi-label target, "" (no label
    applies) is sound too.
    """
    allowed = None if labels is None else sorted(labels)
    with connect() as database:
        return select_all(
            database,
            f"""
            SELECT content_id FROM read_parquet($path)
            WHERE {space.labelled} AND ($labels IS NULL OR label IN (SELECT unnest($labels)))
            GROUP BY content_id HAVING content_id IS NOT NULL AND count(DISTINCT label) > 1
            ORDER BY content_id
            """,  # noqa: S608  no text from outside
            {"path": str(path), "labels": allowed},
        )["content_id"].combine_chunks()
