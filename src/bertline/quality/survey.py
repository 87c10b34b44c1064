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

from bertline.corpus.duplicates import contradicting
from bertline.corpus.rows import is_multi_label, read_chunks
from bertline.params.validate import Params
from bertline.quality.ahead import ahead
from bertline.quality.engine import Rule, broken_by, judge_frame
from bertline.quality.features import FEATURES, Featurizer
from bertline.quality.grouping import Codes, Combinations
from bertline.quality.suite import Suite

Broken = npt.NDArray[np.bool_]
Latest = dict[str | None, int | None]
"""The latest sane time stamp of each batch, in microseconds; batches in the order they first appear."""


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What the first pass found."""

    rules: list[Rule]  # in the order that decides which rule a row is listed under
    codes: Codes  # [rows] positions in `broken`
    broken: Broken  # [rules, combinations]
    batches: list[str | None]  # the newest last, as `_oldest_first` orders them

    def rows_that_break(self) -> list[int]:
        """Return for each rule how many rows break it."""
        rows = np.bincount(self.codes, minlength=self.broken.shape[1])
        return [int(rows[broken].sum()) for broken in self.broken]


def survey(rows: Path, params: Params, suite: Suite) -> Survey:
    """Read the file `rows` once and judge every row.

    Raises:
        ValueError: the columns are not those of `ROWS`, or one of the user's rules cannot be evaluated.
    """
    multi_label = is_multi_label(rows)
    next(read_chunks(rows), None)  # wrong columns, in our words rather than in DuckDB's
    sound = sound_labels(_distinct_labels(rows), params, multi_label=multi_label)
    conflicts = contradicting(rows, sound, multi_label=multi_label)
    features = Featurizer(params, conflicts, multi_label)
    own = [pa.field(f"own:{rule.name}", pa.bool_()) for rule in suite.own_rows]  # ours hold no colon
    schema = pa.schema([*FEATURES, *own])
    combinations = Combinations(schema)
    latest: Latest = {}
    computed = ((chunk, features.compute(chunk)) for chunk in ahead(read_chunks(rows)))
    for chunk, judged in ahead(computed):
        by_own = [pa.array(breaks) for breaks in _judge_raw(chunk, suite.own_rows)]
        combinations.add(pa.table([*judged.columns, *by_own], schema))
        sane = pc.if_else(judged["timestamp_sane"], chunk["timestamp"], None)
        _note_latest(latest, chunk["batch"], pc.cast(sane, pa.int64()))
    distinct = combinations.distinct()
    by_features = judge_frame(distinct.select(FEATURES.names).to_pandas(), suite.features)
    broken = [broken_by(result, len(distinct)) for result in by_features]
    broken += [distinct[field.name].to_numpy() for field in own]
    return Survey(
        rules=[*suite.features, *suite.own_rows],
        codes=combinations.codes(),
        broken=np.array(broken, bool),
        batches=_oldest_first(latest),
    )


def _judge_raw(chunk: pa.Table, rules: list[Rule]) -> Iterator[Broken]:
    """Yield for each rule which rows of `chunk` break it, [rows] bool."""
    if rules:
        frame = chunk.select(sorted({name for rule in rules for name in rule.columns})).to_pandas()
        for result in judge_frame(frame, rules):
            yield broken_by(result, len(chunk))


def sound_labels(found: Iterable[str | None], params: Params, *, multi_label: bool) -> list[str] | None:
    """Return which of the labels `found` may contradict each other; None: all."""
    if params.labels is None or not multi_label:
        return params.labels
    known = Featurizer(params, pa.array([], pa.string()), multi_label).is_known
    return [label for label in found if label is not None and known(label)]


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
