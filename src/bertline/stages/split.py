"""Deal the validated rows to train, validation and test; a row never changes its side when others arrive.

Rows too similar to a row on a later side are set aside: `corpus.splitting` and `corpus.near_duplicates` say
which. Guarantees that every row lies in exactly one of the four files, that these are sorted by id, and that
no byte depends on the order in which the rows came. Memory: some 20 bytes a row, and what DuckDB is allowed.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bertline.corpus.near_duplicates import SET_ASIDE, TWINS, find_twins, with_twins
from bertline.corpus.relational import connect, scratch_folder, select
from bertline.corpus.rows import count_labels, is_multi_label, read_chunks, write_rows
from bertline.corpus.split_report import summarize, worst_pairs, write_report
from bertline.corpus.splitting import SIDES, count_classes, deal, official_sides
from bertline.params.loading import load_params
from bertline.params.split import Params
from bertline.stages.command import run


def split(*, rows: Path, out: Path, report: Path) -> None:
    """Deal rows to train, validation and test; set aside what is nearly the same on two of them."""
    params = load_params(Params)
    multi_label = is_multi_label(rows)
    official = official_sides(rows)
    with scratch_folder() as scratch:
        ordered = scratch / "rows.parquet"
        rows_in = write_rows(_sort(rows), ordered)
        sides = deal(read_chunks(ordered), params, official)
        twins = TWINS.empty_table()
        if params.near_duplicates is not None:
            twins = find_twins(ordered, sides, params.near_duplicates)
        written = _write_sides(ordered, sides, twins, out, multi_label)
        pairs = worst_pairs(ordered, sides, twins)
    assert rows_in == sum(written.values()), (rows_in, written)
    classes = count_classes({name: _count(out / f"{name}.parquet", multi_label) for name in SIDES})
    write_report(summarize(params, official, written, classes), pairs, report)
    kept = ", ".join(f"{name} {written[name]}" for name in SIDES)
    print(
        f"{rows_in} rows = {kept}, set aside {written['set_aside']} near-duplicates; {len(classes)} classes"
    )


def _sort(rows: Path) -> Iterator[pa.Table]:
    with connect() as database:
        yield from select(database, "SELECT * FROM read_parquet($rows) ORDER BY id", {"rows": str(rows)})


def _write_sides(
    ordered: Path, sides: npt.NDArray[np.uint8], twins: pa.Table, out: Path, multi_label: bool
) -> dict[str, int]:
    """Write one file for each of `SIDES` and one for the rows set aside; return the rows of each."""
    places = sides.copy()
    places[twins["row"].to_numpy()] = len(SIDES)
    written = {
        name: write_rows(_rows_at(ordered, places, code), out / f"{name}.parquet", multi_label=multi_label)
        for code, name in enumerate(SIDES)
    }
    aside = with_twins(ordered, _rows_at(ordered, places, len(SIDES)), twins, sides)
    path = out / "set_aside.parquet"
    return {**written, "set_aside": write_rows(aside, path, SET_ASIDE, multi_label=multi_label)}


def _rows_at(ordered: Path, places: npt.NDArray[np.uint8], place: int) -> Iterator[pa.Table]:
    start = 0
    for chunk in read_chunks(ordered):
        yield chunk.filter(pa.array(places[start : start + len(chunk)] == place))
        start += len(chunk)


def _count(path: Path, multi_label: bool) -> Counter[str]:
    counts: Counter[str] = Counter()
    for chunk in read_chunks(path, columns=["label"]):
        counts.update(count_labels(chunk, multi_label=multi_label))
    return counts


if __name__ == "__main__":
    run(split)
