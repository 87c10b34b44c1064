"""Deal the validated rows to train, validation and test; a row never changes its side when others arrive.

Rows too similar to a row on a later side are removed: see `assign` and `near_duplicates`.

Guarantees that every row lies in exactly one of the four files, that these are sorted by id, and that
no byte depends on the order in which the rows came. Memory: some 20 bytes a row, and DuckDB's limit.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bertline.core.params_loading import load_params
from bertline.params.split import Params
from bertline.rows.duckdb_query import connect, scratch_folder, select
from bertline.rows.io import read_chunks, read_label_space, write_rows
from bertline.rows.labels import LabelSpace, out_of_scope
from bertline.stages.split.assign import SIDES, count_classes, deal, missing_sides, official_sides
from bertline.stages.split.groups import count_groups, warnings
from bertline.stages.split.near_duplicates import SET_ASIDE, TWINS, find_twins, with_twins
from bertline.stages.split.report import summarize, worst_pairs, write_report


def split(*, rows: Path, out: Path, report: Path) -> None:
    """Assign rows to train, validation and test; remove near-duplicates that lie on two of them."""
    params = load_params(Params)
    space = read_label_space(rows)
    official = official_sides(rows)
    with scratch_folder() as scratch:
        ordered = scratch / "rows.parquet"
        rows_in = write_rows(_sort(rows), ordered)
        sides = deal(read_chunks(ordered), params, official)
        twins = TWINS.empty_table()
        if params.near_duplicates is not None:
            twins = find_twins(ordered, sides, params.near_duplicates)
        written = _write_sides(ordered, sides, twins, out, space)
        pairs = worst_pairs(ordered, sides, twins)
    assert rows_in == sum(written.values()), (rows_in, written)
    found = {name: _count(out / f"{name}.parquet", space) for name in SIDES}
    classes = count_classes({name: counts for name, (counts, _) in found.items()})
    outside = {name: rows for name, (_, rows) in found.items()}
    grouped = None if params.group_column is None else count_groups(out, params.group_column)
    summary = summarize(params, official, written, classes, outside)
    write_report(summary | {"groups": grouped}, pairs, report)
    kept = ", ".join(f"{name} {written[name]}" for name in SIDES)
    print(f"{rows_in} rows = {kept}, removed {written['set_aside']} near-duplicates; {len(classes)} classes")
    for line in [*missing_sides(classes), *(warnings(grouped) if grouped else [])]:
        print(line)
    if any(outside.values()):
        print(f"out of scope: {', '.join(f'{name} {rows}' for name, rows in outside.items())}")


def _sort(rows: Path) -> Iterator[pa.Table]:
    with connect() as database:
        yield from select(database, "SELECT * FROM read_parquet($rows) ORDER BY id", {"rows": str(rows)})


def _write_sides(
    ordered: Path, sides: npt.NDArray[np.uint8], twins: pa.Table, out: Path, space: LabelSpace
) -> dict[str, int]:
    """Write one file for each of `SIDES` and one for the removed rows; return the rows of each."""
    places = sides.copy()
    places[twins["row"].to_numpy()] = len(SIDES)
    written = {
        name: write_rows(_rows_at(ordered, places, code), out / f"{name}.parquet", space=space)
        for code, name in enumerate(SIDES)
    }
    aside = with_twins(ordered, _rows_at(ordered, places, len(SIDES)), twins, sides)
    path = out / "set_aside.parquet"
    return {**written, "set_aside": write_rows(aside, path, SET_ASIDE, space=space)}


def _rows_at(ordered: Path, places: npt.NDArray[np.uint8], place: int) -> Iterator[pa.Table]:
    start = 0
    for chunk in read_chunks(ordered):
        yield chunk.filter(pa.array(places[start : start + len(chunk)] == place))
        start += len(chunk)


def _count(path: Path, space: LabelSpace) -> tuple[Counter[str], int]:
    """Return the rows of each class, and those out of scope."""
    counts: Counter[str] = Counter()
    outside = 0
    for chunk in read_chunks(path, columns=["label"]):
        counts.update(space.count(chunk))
        outside += len(out_of_scope(chunk))
    return counts, outside
