"""Texts that were torn at a line break: neither half of one becomes a row with a label.

1. A line that lacks fields and ends within its text may go on in the next line. In a file with quotes, only
   a line with an unpaired quote does.
2. The record right after such a line is a fault: it may be the rest of the text. In a file with quotes, so
   are the ones after it, up to one with an unpaired quote, or one with a label that other records have.
3. A record with an unpaired quote right after a line that lacks fields is a fault, too.
4. Where the text is the last field, a line that lacks fields may be the rest of the text before it, which is
   then a fault. In a file with quotes, this holds if one of the two has an unpaired quote, or the first was
   repaired.
5. A line whose quotes were repaired is a fault if no other record has its label. It may go on, too: a record
   that follows is a fault if it has an unpaired quote and a label that no other has.

Guarantees that each record stays one item. The price is that a sound record next to a broken line may be a
fault. Does not guarantee to see a text that was torn between two quotes inside of it.
"""

from collections import Counter
from collections.abc import Iterator

from bertline.stages.ingest.delimited.layout import Layout
from bertline.stages.ingest.delimited.trial import LABELS_REMEMBERED
from bertline.stages.ingest.records import Broken, Repaired

REST = "may be the rest of the text"
GOES_ON = "its text may go on in the next line"
NO_LABEL = "its quotes are broken, and no other record has its label"
Parsed = tuple[list[str] | Broken, list[str], int]
"""A record or what is broken about it, its lines, and the number of the first one in the file."""


class TornTexts:
    """Turn records into broken ones where they may hold half of a text."""

    def __init__(self, layout: Layout, labels: Counter[str], *, wraps: bool) -> None:
        """Take the labels of the file, and whether there are quotes around its texts."""
        self._layout = layout
        self._labels = labels
        self._quote = layout.dialect.quote if wraps else None
        self._begun: int | None = None  # the line in which a text begins that may go on
        self._open = False  # whether it has an unpaired quote
        self._lacks_label = False  # whether it is a fault itself
        self._directly = False  # whether it is the line before
        self._held: Parsed | None = None  # the record before, where its text comes last

    @property
    def is_idle(self) -> bool:
        """Return whether sound records with paired quotes need not be looked at."""
        return self._begun is None and not self._layout.text_comes_last

    def mark(self, each: Parsed) -> Iterator[Parsed]:
        """Take the next record; yield those that are ready, the torn ones broken."""
        marked = self._mark_rest(each)
        if not self._layout.text_comes_last:
            yield marked
            return
        yield from self.release(marked)
        self._held = marked

    def release(self, following: Parsed | None = None) -> Iterator[Parsed]:
        """Yield the record that is held until the next one is known: its text may go on there."""
        if self._held is not None:
            torn = following is not None and isinstance(following[0], Broken)
            torn = torn and following is not None and self._may_belong_together(self._held, following[1])
            yield self._broken(self._held, GOES_ON, GOES_ON) if torn else self._held
        self._held = None

    def ends_within_text(self, record: list[str]) -> bool:
        """Return whether a line that lacks fields may go on."""
        fields = record[0].count(self._layout.dialect.delimiter) + 1
        return fields <= self._layout.last_text + 1 and not self._layout.text_comes_last

    def has_unpaired_quote(self, record: list[str]) -> bool:
        """Return whether the quotes of a record do not come in pairs."""
        return self._quote is not None and sum(line.count(self._quote) for line in record) % 2 == 1

    def knows_label(self, fields: list[str]) -> bool:
        """Return whether other records have the label, or there are too few or too many labels to tell."""
        if not self._labels or len(self._labels) >= LABELS_REMEMBERED:
            return True
        itself = type(fields) is not Repaired  # a sound record is among those that were counted
        return self._labels[fields[self._layout.label]] > itself

    def is_rest(self, fields: list[str], record: list[str]) -> bool:
        """Return whether a record may be the rest of the text that was begun."""
        if self._quote is None:
            return True
        unpaired, known = self.has_unpaired_quote(record), self.knows_label(fields)
        if not self._open:
            return self._directly and unpaired and (self._lacks_label or not known)
        if self._lacks_label:
            return self._directly or unpaired or not known
        return not known and (unpaired or (self._directly and self._layout.text_comes_last))

    def _mark_rest(self, each: Parsed) -> Parsed:
        item, record, number = each
        if isinstance(item, Broken):
            self._follow(record, number)
            return each
        begun = self._begun
        if begun is not None and self.is_rest(item, record):
            goes_on = self._open and not self.has_unpaired_quote(record)
            self._begun, self._directly = begun if goes_on else None, False
            return self._broken(each, f"{REST} that begins in line {begun}", REST)
        self._begun = None
        if type(item) is Repaired and self._quote is not None and self._quote in record[0]:
            return self._mark_repaired(each, item)
        return each

    def _mark_repaired(self, each: Parsed, fields: list[str]) -> Parsed:
        _, record, number = each
        self._open, self._lacks_label = self.has_unpaired_quote(record), not self.knows_label(fields)
        self._begun, self._directly = number, True
        if self._lacks_label:
            label = fields[self._layout.label].strip()[:80]
            return self._broken(each, f"{NO_LABEL}: {label!r}", NO_LABEL)
        return each

    def _follow(self, record: list[str], number: int) -> None:
        """Note whether the text of a line that lacks fields may go on, or whether it ends one."""
        unpaired = self.has_unpaired_quote(record)
        if self._begun is not None and self._open:
            self._begun = None if unpaired else self._begun
        else:
            self._begun = number if self.ends_within_text(record) else None
            self._open, self._lacks_label = unpaired, True
        self._directly = True

    def _may_belong_together(self, held: Parsed, record: list[str]) -> bool:
        item, before, _ = held
        if isinstance(item, Broken):
            return False
        repaired = type(item) is Repaired
        unpaired = self.has_unpaired_quote(before) or self.has_unpaired_quote(record)
        return self._quote is None or repaired or unpaired

    def _broken(self, each: Parsed, fault: str, reason: str) -> Parsed:
        _, record, number = each
        return Broken(fault, self._layout.raw("".join(record)), reason), record, number
