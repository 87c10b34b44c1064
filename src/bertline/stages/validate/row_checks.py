"""The first pass over a table of rows: which rules each row breaks.

Great Expectations judges the distinct combinations of features once for the whole table; a rule of the user's
own on raw columns is judged chunk by chunk and counts as one more feature.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bertline.params.validate import Params
from bertline.rows.duplicates import contradicting
from bertline.rows.io import read_chunks, read_label_space
from bertline.rows.labels import LabelSpace
from bertline.stages.validate.checks import Suite
from bertline.stages.validate.combinations import Codes, Combinations
from bertline.stages.validate.features import FEATURES, Featurizer
from bertline.stages.validate.great_expectations import Check, broken_by, judge_frame
from bertline.stages.validate.prefetch import ahead

Broken = npt.NDArray[np.bool_]
Latest = dict[str | None, int | None]
"""The latest sane time stamp of each batch, in microseconds; batches in the order they first appear."""


@dataclass(frozen=True, kw_only=True)
class RowCheckResults:
    """The result of the first pass."""

    rules: list[Check]  # in the order that decides which rule a row is listed under
    combination_of: Codes  # [rows] positions in `broken`
    broken: Broken  # [rules, combinations]
    batches: list[str | None]  # the newest last, as `_oldest_first` orders them

    def rows_that_break(self) -> list[int]:
        """Return for each rule how many rows break it."""
        rows = np.bincount(self.combination_of, minlength=self.broken.shape[1])
        return [int(rows[broken].sum()) for broken in self.broken]


def check_rows(rows: Path, params: Params, suite: Suite) -> RowCheckResults:
    """Read the file `rows` once and judge every row.

    Raises:
        ValueError: the columns are not those of `ROW_SCHEMA`, or one of the user's rules cannot be evaluated.
    """
    space = read_label_space(rows)
    next(read_chunks(rows), None)  # wrong columns, in our words rather than in DuckDB's
    sound = sound_labels(_distinct_labels(rows), params, space)
    features = Featurizer(params, contradicting(rows, sound, space), space)
    own = [pa.field(f"own:{rule.name}", pa.bool_()) for rule in suite.custom_rows]  # ours hold no colon
    schema = pa.schema([*FEATURES, *own])
    combinations = Combinations(schema)
    latest: Latest = {}
    computed = ((chunk, features.compute(chunk)) for chunk in ahead(read_chunks(rows)))
    for chunk, judged in ahead(computed):
        by_own = [pa.array(breaks) for breaks in _judge_raw(chunk, suite.custom_rows)]
        combinations.add(pa.table([*judged.columns, *by_own], schema))
        sane = pc.if_else(judged["timestamp_sane"], chunk["timestamp"], None)
        _note_latest(latest, chunk["batch"], pc.cast(sane, pa.int64()))
    distinct = combinations.distinct()
    by_features = judge_frame(distinct.select(FEATURES.names).to_pandas(), suite.features)
    broken = [broken_by(result, len(distinct)) for result in by_features]
    broken += [distinct[field.name].to_numpy() for field in own]
    return RowCheckResults(
        rules=[*suite.features, *suite.custom_rows],
        combination_of=combinations.codes(),
        broken=np.array(broken, bool),
        batches=_oldest_first(latest),
    )


def _judge_raw(chunk: pa.Table, rules: list[Check]) -> Iterator[Broken]:
    """Yield for each rule which rows of `chunk` break it, [rows] bool."""
    if rules:
        frame = chunk.select(sorted({name for rule in rules for name in rule.columns})).to_pandas()
        for result in judge_frame(frame, rules):
            yield broken_by(result, len(chunk))


def sound_labels(found: Iterable[str | None], params: Params, space: LabelSpace) -> list[str] | None:
    """Return which of the labels `found` may contradict each other; None: all."""
    if params.labels is None:
        return None
    return [label for label in found if label is not None and space.allows(label, params.labels)]


def _note_latest(latest: Latest, batches: pa.ChunkedArray, moments: pa.ChunkedArray) -> None:
    latest |= {batch: latest.get(batch) for batch in pc.unique(batches).to_pylist()}
    largest = pa.table({"batch": batches, "moment": moments}).group_by("batch").aggregate([("moment", "max")])
    for batch, moment in zip(*largest.select(["batch", "moment_max"]).to_pydict().values(), strict=True):
        latest[batch] = max((each for each in (latest[batch], moment) if each is not None), default=None)


def _oldest_first(latest: Latest) -> list[str | None]:
    """Order batches by the largest time stamp of each; if one has none, as they come (they first appear)."""
    moments = [moment for moment in latest.values() if moment is not None]
    if len(moments) < len(latest):
        return list(latest)
    return [batch for _, batch in sorted(zip(moments, latest, strict=True), key=itemgetter(0))]


def _distinct_labels(rows: Path) -> Iterator[str | None]:
    for chunk in read_chunks(rows, columns=["label"]):
        yield from pc.unique(chunk["label"]).to_pylist()
