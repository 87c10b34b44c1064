"""The first pass over a table of rows: which rules each row breaks.

Great Expectations judges the distinct combinations of features once for the whole table; a rule of the user's
own on raw columns is judged chunk by chunk and counts as one more feature.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
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


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What the first pass found."""

    rules: list[Rule]  # in the order that decides which rule a row is listed under
    codes: Codes  # [rows] positions in `broken`
    broken: Broken  # [rules, combinations]
    batches: list[str | None]  # in the order they first appear

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
    conflicts = contradicting(rows, sound_labels(_distinct_labels(rows), params, multi_label=multi_label))
    features = Featurizer(params, conflicts, multi_label)
    own = [pa.field(f"own:{rule.name}", pa.bool_()) for rule in suite.own_rows]  # ours hold no colon
    schema = pa.schema([*FEATURES, *own])
    combinations = Combinations(schema)
    batches: dict[str | None, None] = {}
    computed = ((chunk, features.compute(chunk)) for chunk in ahead(read_chunks(rows)))
    for chunk, judged in ahead(computed):
        by_own = [pa.array(breaks) for breaks in _judge_raw(chunk, suite.own_rows)]
        combinations.add(pa.table([*judged.columns, *by_own], schema))
        batches |= dict.fromkeys(pc.unique(chunk["batch"]).to_pylist())
    distinct = combinations.distinct()
    by_features = judge_frame(distinct.select(FEATURES.names).to_pandas(), suite.features)
    broken = [broken_by(result, len(distinct)) for result in by_features]
    broken += [distinct[field.name].to_numpy() for field in own]
    return Survey(
        rules=[*suite.features, *suite.own_rows],
        codes=combinations.codes(),
        broken=np.array(broken, bool),
        batches=list(batches),
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
    return [label for label in found if label and known(label)]


def _distinct_labels(rows: Path) -> Iterator[str | None]:
    for chunk in read_chunks(rows, columns=["label"]):
        yield from pc.unique(chunk["label"]).to_pylist()
