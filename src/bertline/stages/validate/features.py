"""Features: the small columns that row expectations judge, computed from each chunk of rows.

Great Expectations judges these instead of the texts: a table of millions of rows has few distinct
combinations of them. Guarantees that the features of a row depend on the row, the parameters and the set
of contradicting texts alone, never on the chunk it came in. Does not judge: a feature holds no threshold.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from bertline.params.validate import Params
from bertline.rows.labels import LabelSpace
from bertline.stages.validate.mojibake import DAMAGE

FEATURES = pa.schema(
    {
        "readable": pa.bool_(),
        "text_present": pa.bool_(),
        "text_not_blank": pa.bool_(),
        "characters": pa.int32(),
        "damaged": pa.float64(),  # share of the characters, to a thousandth, rounded up
        "foreign": pa.float64(),  # share of the letters outside `scripts`, to a hundredth, rounded up
        "label_present": pa.bool_(),
        "label_not_blank": pa.bool_(),
        "label_known": pa.bool_(),
        "timestamp_sane": pa.bool_(),
        "one_label": pa.bool_(),  # no other row has the same text with another label
    }
)
"""Null where there is no value, such as the length of a missing text or the label of an unreadable record."""


@dataclass(frozen=True)
class Featurizer:
    """Computes the features of chunks of one table.

    Raises:
        ValueError: `params.scripts` names a script that Unicode does not know.
    """

    params: Params
    contradicting: pa.Array  # content ids that come with more than one label, as `duplicates.contradicting`
    space: LabelSpace

    def __post_init__(self) -> None:
        for script in self.params.scripts or []:
            try:
                pc.match_substring_regex(pa.array([""]), rf"\p{{{script}}}")
            except pa.ArrowInvalid:
                raise ValueError(
                    f"validate.scripts names {script!r}; allowed: Unicode scripts, e.g. Latin, Cyrillic, Han"
                ) from None

    def compute(self, rows: pa.Table) -> pa.Table:
        """Return the features of `rows`, a table of `ROW_SCHEMA`, as a table of `FEATURES`, row by row.

        The two texts of a sentence pair count as one text.
        """
        present = pc.is_valid(rows["text"])
        text = _joined(rows["text"], rows["text_pair"])
        characters = pc.utf8_length(text)
        columns = {
            "readable": pc.is_null(rows["fault"]),
            "text_present": present,
            "text_not_blank": pc.if_else(present, _not_blank(rows), None),
            "characters": characters,
            "damaged": _share(pc.count_substring_regex(text, DAMAGE), characters, 1000),
            "foreign": self._foreign(text),
            "label_present": pc.if_else(pc.is_null(rows["fault"]), pc.is_valid(rows["label"]), None),
            "label_not_blank": _by_value(rows["label"], self._is_not_blank),
            "label_known": _by_value(rows["label"], self._is_known),
            "timestamp_sane": self._sane(rows["timestamp"]),
            "one_label": pc.invert(pc.is_in(rows["content_id"], self.contradicting)),
        }
        return pa.table([columns[name] for name in FEATURES.names], schema=FEATURES)

    def _foreign(self, text: pa.ChunkedArray) -> pa.ChunkedArray:
        if self.params.scripts is None:
            return pa.chunked_array([pa.nulls(len(text), pa.float64())])
        native = "".join(rf"\p{{{script}}}" for script in self.params.scripts)
        # Marks such as the Japanese prolonged sound mark are letters of every script.
        foreign = _count(text, rf"[^\P{{L}}\p{{Common}}\p{{Inherited}}{native}]+")
        mixed = pc.if_else(pc.greater(foreign, 0), text, None)  # the letters of others need no counting
        return _share(foreign, pc.fill_null(_count(mixed, r"\p{L}+"), 1), 100)

    def _is_not_blank(self, label: str) -> bool:
        return all(part.strip() for part in self.space.split(label))

    def _is_known(self, label: str) -> bool | None:
        allowed = self.params.labels
        return None if allowed is None else self.space.allows(label, allowed)

    def _sane(self, timestamp: pa.ChunkedArray) -> pa.ChunkedArray:
        earliest, latest = self.params.earliest_moment, self.params.latest_moment
        sane = pc.if_else(pc.is_valid(timestamp), True, None)
        if earliest is not None:
            sane = pc.and_(sane, pc.greater_equal(timestamp, pa.scalar(earliest, timestamp.type)))
        if latest is not None:
            sane = pc.and_(sane, pc.less_equal(timestamp, pa.scalar(latest, timestamp.type)))
        return sane


def _joined(text: pa.ChunkedArray, pair: pa.ChunkedArray) -> pa.ChunkedArray:
    if pair.null_count == len(pair):
        return text
    both = pc.binary_join_element_wise(text, pair, "\n", null_handling="skip")
    return pc.if_else(pc.is_valid(text), both, None)


def _not_blank(rows: pa.Table) -> pa.ChunkedArray:
    """Return whether the text has a content id, and the second text of a pair more than white space."""
    pair = rows["text_pair"]
    blank_pair = pc.fill_null(pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(pair)), 0), False)
    return pc.and_not(pc.is_valid(rows["content_id"]), blank_pair)


def _count(text: pa.ChunkedArray, run: str) -> pa.ChunkedArray:
    """Return how many characters of each text lie in runs of the pattern `run`."""
    # Not count_substring_regex: matching runs takes a fraction of the time of matching letters.
    return pc.subtract(pc.utf8_length(text), pc.utf8_length(pc.replace_substring_regex(text, run, "")))


def _share(part: pa.ChunkedArray, whole: pa.ChunkedArray, steps: int) -> pa.ChunkedArray:
    """Return part / whole rounded up to 1 / `steps`, so that few distinct values remain; 0 of nothing."""
    part, whole = (
        pc.cast(part, pa.int64()),
        pc.max_element_wise(pc.cast(whole, pa.int64()), 1, skip_nulls=False),
    )
    rounded_up = pc.divide(pc.subtract(pc.add(pc.multiply(part, steps), whole), 1), whole)
    return pc.divide(pc.cast(rounded_up, pa.float64()), float(steps))


def _by_value(labels: pa.ChunkedArray, judge: Callable[[str], bool | None]) -> pa.Array:
    """Return `judge` of each label, computed once for each distinct one; null for null."""
    encoded = labels.combine_chunks().dictionary_encode()
    return pa.array(map(judge, encoded.dictionary.to_pylist()), pa.bool_()).take(encoded.indices)
