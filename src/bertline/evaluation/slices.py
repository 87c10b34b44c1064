"""Slices: parts of the rows that one can name, and how good the answers to each of them are.

Groups of slices: class, source, delivery, script, length, time, each kept column, and the rules of
slices.yaml. `slices_of` finds the rows of each slice, without a model; `score_slices` scores one model on
them. So two models are compared on the same slices.

Guarantees the same slices for the same rows, in one order: groups as above; within a group the natural order
of classes, lengths and times, else the largest slice first. Does not guarantee that a slice is worse than the
rest for another reason than chance: of dozens of slices some look bad. The stage's weak slices are tested.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bertline.evaluation.slice_rules import Rule, matching_rows
from bertline.metrics.intervals import share_interval
from bertline.metrics.rounding import rounded
from bertline.rows.extra import extra_column, extra_names
from bertline.rows.labels import LabelSpace
from bertline.rows.scripts import main_script

MIN_ROWS = 10
"""A slice of fewer rows is not shown: its interval would span half of the scale."""

MAX_VALUES = 20
"""Slices that a column may have; those of its most frequent values are shown."""

MAX_PERIODS = 8

MAX_NAMED = 3
"""Slices of too few rows that are named, by at most 40 characters each."""

NO_VALUE = "(no value)"

_PERIODS = (  # the finest one that leaves at most MAX_PERIODS is taken
    ("day", "%Y-%m-%d"),
    ("week", "week of %Y-%m-%d"),
    ("month", "%Y-%m"),
    ("quarter", "quarter from %Y-%m"),
    ("year", "%Y"),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Slice:
    """Some of the rows, and what they have in common."""

    group: str
    name: str
    rows: npt.NDArray[np.int64]  # their places, ascending


@dataclass(frozen=True)
class Slices:
    """The slices of a table of rows, and why some groups of them, or some slices of a group, are missing."""

    shown: list[Slice] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)  # group, reason

    def add(self, group: str, names: Sequence[str], members: Sequence[npt.NDArray[np.int64]]) -> None:
        """Show the slices of a group that have enough rows; say how many have too few."""
        found = [Slice(group=group, name=name, rows=rows) for name, rows in zip(names, members, strict=True)]
        self.shown.extend(each for each in found if len(each.rows) >= MIN_ROWS)
        if small := [each.name for each in found if 0 < len(each.rows) < MIN_ROWS]:
            named = [f"{name:.40}" for name in small[:MAX_NAMED]] + ["..."] * (len(small) > MAX_NAMED)
            self.skip(group, f"{len(small):,} with fewer than {MIN_ROWS} rows: {', '.join(named)}")

    def skip(self, group: str, reason: str) -> None:
        """Say why slices are missing."""
        self.skipped.append({"group": group, "reason": reason})


def slices_of(rows: pa.Table, texts: Sequence[str], space: LabelSpace, rules: Sequence[Rule]) -> Slices:
    """Return the slices of `rows` [N], a table of `ROW_SCHEMA` in scope; of none, nothing.

    Args:
        rows: all of them have a label.
        texts: of each row [N]; the two texts of a pair in one.
        space: whether rows have several labels. Then a row is in the slice of each of its labels.
        rules: of slices.yaml.

    Raises:
        ValueError: a rule cannot be applied to the rows.
    """
    found = Slices()
    if not len(texts):
        return found
    _add_classes(found, rows["label"].to_pylist(), space)
    _add_values(found, "source", rows["source"])
    _add_values(found, "delivery", rows["batch"])
    _add_values(found, "script", pa.array([main_script(text) for text in texts]))
    found.add("length", *slices_by_length(texts))
    _add_periods(found, rows["timestamp"])
    for name in extra_names(rows):
        _add_values(found, f"column {name}", extra_column(rows, name))
    for rule, members in zip(rules, matching_rows(rules, rows), strict=True):
        if not len(members):
            found.skip("rule", f"no row matches {rule.name!r}")
        found.add("rule", [rule.name], [members])
    return found


def score_slices(slices: Slices, right: npt.NDArray[np.bool_], confidence: float) -> dict[str, Any]:
    """Return the document of slices.json.

    Args:
        slices: of N rows.
        right: whether the answer to each row [N] is right; with several labels a row, whether all are.
        confidence: of the Wilson intervals.
    """
    return {"confidence": confidence, "slices": list(_scores(slices.shown, right, confidence))} | {
        "skipped": slices.skipped
    }


def _scores(slices: list[Slice], right: npt.NDArray[np.bool_], confidence: float) -> Iterator[dict[str, Any]]:
    for each in slices:
        found = share_interval(right[each.rows], confidence)
        counted = {"group": each.group, "name": each.name, "rows": len(each.rows)}
        yield counted | rounded(found.named("accuracy"))


def slices_by_length(texts: Sequence[str]) -> tuple[list[str], list[npt.NDArray[np.int64]]]:
    """Return names and rows of up to four slices, the quartiles of the numbers of characters, lowest first.

    Each row is in exactly one of them. Texts of one length are never apart, so there may be fewer slices.
    """
    lengths = np.array([len(text) for text in texts])
    quartile = np.searchsorted(np.quantile(lengths, [0.25, 0.5, 0.75]), lengths, side="left")
    members = [np.flatnonzero(quartile == each) for each in np.unique(quartile)]
    ends = [(lengths[rows].min(), lengths[rows].max()) for rows in members]
    return [f"{low:,} to {high:,} characters" for low, high in ends], members


def _add_classes(found: Slices, labels: list[str], space: LabelSpace) -> None:
    places: dict[str, list[int]] = {}
    for row, label in enumerate(labels):
        for each in space.split(label) or ["(no label)"]:
            places.setdefault(each, []).append(row)
    found.add("class", sorted(places), [np.array(places[name], np.int64) for name in sorted(places)])


def _add_values(found: Slices, group: str, column: pa.Array | pa.ChunkedArray) -> None:
    """Add the slices of the most frequent values of a column of strings."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    encoded = pc.fill_null(column, NO_VALUE).dictionary_encode()
    values, codes = encoded.dictionary.to_pylist(), encoded.indices.to_numpy()
    if len(values) == 1:
        found.skip(group, f"the same for all rows: {values[0]}")
    elif len(values) > MAX_VALUES and len(values) > len(codes) / 2:
        found.skip(group, f"{len(values):,} values in {len(codes):,} rows: nearly each row has its own")
    else:
        counts = np.bincount(codes)
        order = sorted(range(len(values)), key=lambda code: (-counts[code], values[code]))[:MAX_VALUES]
        found.add(group, [values[code] for code in order], [np.flatnonzero(codes == code) for code in order])
        if len(values) > MAX_VALUES:
            found.skip(
                group, f"{len(values) - MAX_VALUES:,} values beyond the {MAX_VALUES} most frequent ones"
            )


def _add_periods(found: Slices, times: pa.ChunkedArray) -> None:
    """Add a slice for each day, week, month, quarter or year: the finest that leaves few of them."""
    if times.null_count == len(times):
        found.skip("time", "no row has a time stamp")
        return
    for unit, written in _PERIODS:
        names = pc.strftime(pc.floor_temporal(times, unit=unit), format=written)
        distinct = sorted(pc.unique(names.drop_null()).to_pylist())
        if len(distinct) <= MAX_PERIODS:
            break
    rows = [np.flatnonzero(pc.fill_null(pc.equal(names, name), False)) for name in distinct]
    if len(distinct) > MAX_PERIODS:  # years: the older ones together
        older = len(distinct) - MAX_PERIODS + 1
        rows = [np.sort(np.concatenate(rows[:older])), *rows[older:]]
        distinct = [f"{distinct[0]} to {distinct[older - 1]}", *distinct[older:]]
    if times.null_count:
        rows, distinct = [*rows, np.flatnonzero(pc.is_null(times))], [*distinct, NO_VALUE]
    if len(distinct) == 1:
        found.skip("time", f"the same for all rows: {distinct[0]}")
    else:
        found.add("time", distinct, rows)
