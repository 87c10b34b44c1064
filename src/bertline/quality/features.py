"""What row expectations look at: a few small columns computed from each chunk of rows.

Great Expectations judges these instead of the texts: a table of millions of rows has few distinct
combinations of them. Guarantees that the features of a row depend on the row, the parameters and the set
of contradicting texts alone, never on the chunk it came in. Does not judge: a feature holds no threshold.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from bertline.corpus.rows import LABEL_SEPARATOR
from bertline.params.validate import Params

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
"""Null where there is nothing to look at: the length of no text, the bounds of no time stamp."""

# UTF-8 read as Windows-1252 turns every character into a lead and one to three tails. The leads of pairs are
# those of Latin, Greek, Cyrillic, Hebrew and Arabic; not É (C9), which may well stand before a closing quote.
# Others may, too (“AMANHÃ”, perché…”, « café », OÙ !), and a multiplication sign before a price: so tails
# that are punctuation count only before a letter, or among others, and the sign only twice in a row (a Hebrew
# word). But after Â and Ã, of which most mojibake is, guillemets and no-break spaces count: » and à hold one.
_LEAD = bytes.fromhex("C2 C3 C4 C5 CE CF D0 D1 D8 D9").decode("latin-1")
_TAILS = {chr(byte) for byte in range(0x80, 0xC0)} | {*bytes(range(0x80, 0xA0)).decode("cp1252", "ignore")}
_QUOTES = {*bytes.fromhex("85 91 92 93 94 96 97").decode("cp1252")}  # dots and dashes, too
# Alone a guillemet or a no-break space ends many a letter (ë, û, à), two of them hardly any.
_MARKS = _QUOTES | {*"«»\N{NO-BREAK SPACE}"}


def _any(characters: set[str]) -> str:
    return f"[{''.join(sorted(characters))}]"


def _tails(count: int) -> str:
    """Return the pattern of `count` tails that are not all marks."""
    marks, other, tail = map(_any, (_MARKS, _TAILS - _MARKS, _TAILS))
    return "|".join(f"{marks}{{{at}}}{other}{tail}{{{count - 1 - at}}}" for at in range(count))


_PAIR = rf"[ÂÃ]{_any(_TAILS - _QUOTES)}|[{_LEAD}](?:{_any(_TAILS - _MARKS)}|{_any(_MARKS)}\p{{L}})"
_HEBREW = {chr(byte) for byte in range(0x90, 0xAB)} | {*bytes(range(0x90, 0xA0)).decode("cp1252", "ignore")}
_MOJIBAKE = rf"{_PAIR}|(?:\x{{D7}}{_any(_HEBREW)}){{2}}|[à-ï](?:{_tails(2)})|[ð-ô](?:{_tails(3)})"
_CONTROL = "[\\x00-\\x08\\x0B\\x0C\\x0E-\\x1F\\x7F\\x{80}-\\x{9F}\\x{FFFD}]"
DAMAGE = f"{_MOJIBAKE}|{_CONTROL}"
"""What a wrong encoding leaves behind: U+FFFD, control characters (but tab and line ends) and mojibake."""


@dataclass(frozen=True)
class Featurizer:
    """Computes the features of chunks of one table.

    Raises:
        ValueError: `params.scripts` names a script that Unicode does not know.
    """

    params: Params
    contradicting: pa.Array  # content ids that come with more than one label, as `duplicates.contradicting`
    multi_label: bool

    def __post_init__(self) -> None:
        for script in self.params.scripts or []:
            try:
                pc.match_substring_regex(pa.array([""]), rf"\p{{{script}}}")
            except pa.ArrowInvalid:
                raise ValueError(
                    f"validate.scripts names {script!r}; allowed: Unicode scripts, e.g. Latin, Cyrillic, Han"
                ) from None

    def compute(self, rows: pa.Table) -> pa.Table:
        """Return the features of `rows`, a table of `ROWS`, as a table of `FEATURES`, row by row.

        The two texts of a sentence pair are looked at as one.
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
            "label_present": pc.is_valid(rows["label"]),
            "label_not_blank": _by_value(rows["label"], self._is_not_blank),
            "label_known": _by_value(rows["label"], self.is_known),
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

    def _parts(self, label: str) -> list[str]:
        if not self.multi_label:
            return [label]
        return label.split(LABEL_SEPARATOR) if label else []

    def _is_not_blank(self, label: str) -> bool:
        return all(part.strip() for part in self._parts(label))

    def is_known(self, label: str) -> bool | None:
        """Return whether every label in `label` is allowed; None where any is."""
        allowed = self.params.labels
        return None if allowed is None else all(part in allowed for part in self._parts(label))

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
