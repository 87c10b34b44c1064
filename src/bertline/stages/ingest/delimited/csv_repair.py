"""Records of lines whose quotes may be broken: read strictly, and taken apart where that fails.

1. A record is read strictly. A record of several lines ends where its quotes close.
2. A record that is not sound gives back all its lines but the first, which is then a record by itself. So an
   unclosed quote costs no following line.
3. A record of one line is sound if it has the fields of the header.
4. A record of several lines is sound if it also holds its label on one line, and if at most half of its lines
   could be records with a known label. Otherwise one stray quote opened it and another closed it.
5. A record of more than `LONGEST_RECORD` characters is not sound. Once a record of more than `MOST_LINES`
   lines was not sound, every longer one is given back unread.

Guarantees that every line is part of exactly one record, that each line is read a bounded number of times,
and that one record is held at a time. Does not guarantee that a repaired record is what its author meant:
lines between two stray quotes stay one record where no label of theirs is known, and a sound record is taken
apart if its text quotes lines of such a file.
"""

import csv
from collections import deque
from collections.abc import Callable, Collection, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from bertline.stages.ingest.delimited.dialect import LONGEST_RECORD
from bertline.stages.ingest.delimited.layout import Layout
from bertline.stages.ingest.records import Repaired

if TYPE_CHECKING:
    from _csv import Reader

MOST_LINES = 1000  # of a record, once a longer one was not sound: each line given back starts a new one
LINES_AT_ONCE = 1000  # given to the parser, where each is a record

Block = tuple[list[list[str]], list[str], bool]
"""Fields of records, their lines, and whether they are sound.

Either many records of one line each, or one record of all the lines, or one line that is in no sound record:
its fields are empty if it breaks the rules of its dialect.
"""


class RecordReader:
    """Iterate over the records of a file, in blocks."""

    def __init__(
        self,
        lines: Iterator[str],
        layout: Layout,
        labels: Collection[str],
        observe: Callable[[list[list[str]]], None] | None = None,
    ) -> None:
        """Read `lines` as records of `layout`.

        Args:
            lines: as `Dialect.join_lines` yields them.
            layout: what a sound record looks like.
            labels: those that are known of the file, by now or from the start.
            observe: gets the fields of strict records, sound or not, that hold no line given back.
        """
        self._lines = lines
        self._layout = layout
        self._labels = labels
        self._observe = observe
        self._record: list[str] = []  # the lines of the record being read
        self._returned: deque[str] = deque()  # lines of records that were not sound
        self._ahead: deque[str] = deque()  # lines that were no records all of them
        self._bounded = False
        csv.field_size_limit(1 << 30)  # of the process; the lines of a file are bounded where they are read

    def __iter__(self) -> Iterator[Block]:
        """Yield the records in the order of the file."""
        while lines := list(islice(self._lines, LINES_AT_ONCE)):
            yield from self.read_ahead(lines)
            self._reader = self._open()
            while self._ahead or self._returned:
                yield self._next_record()

    def read_ahead(self, lines: list[str]) -> Iterator[Block]:
        """Yield the sound records at the start of many lines; the rest is kept, to be read one by one."""
        reader = self._parse(iter(lines))
        records: list[list[str]] = []  # of one line each
        first = end = 0  # of the lines of these records
        width = self._layout.width
        try:
            for fields in reader:
                start, end = end, reader.line_num
                if end == start + 1 and len(fields) == width:
                    records.append(fields)
                    continue
                # First, so that the labels of these records are known.
                yield from self._all_sound(records, lines[first:start])
                records, first = [], end
                self._record[:] = lines[start:end]
                if not self.is_sound(fields):
                    end = start
                    break
                yield from self._all_sound([fields], lines[start:end])
        except csv.Error:
            pass
        yield from self._all_sound(records, lines[first:end])
        self._ahead.extend(lines[end:])

    def _all_sound(self, records: list[list[str]], lines: list[str]) -> Iterator[Block]:
        if records:
            if self._observe:
                self._observe(records)
            yield records, lines, True

    def read_strict(self) -> list[str]:
        """Return the fields of the next record, none if it breaks the dialect's rules."""
        fresh = not self._returned
        self._record.clear()
        try:
            fields = next(self._reader)
        except csv.Error:
            return []
        if fields and fresh and self._observe:
            self._observe([fields])
        return fields

    def _next_record(self) -> Block:
        fields, record = self.read_strict(), self._record
        if self.is_sound(fields):
            return [fields], list(record), True
        if len(record) > 1:
            self.give_back(record[1:])
            fields = []
        if not fields:  # the parser stopped within the record
            self._reader = self._open()
        return [fields], record[:1], False

    def give_back(self, lines: list[str]) -> None:
        """Put lines back, to be read again as records of their own."""
        self._bounded = self._bounded or len(lines) >= MOST_LINES
        self._returned.extendleft(reversed(lines))

    def is_sound(self, fields: list[str]) -> bool:
        """Return whether the lines just read are one record."""
        if len(fields) != self._layout.width:
            return False
        return len(self._record) == 1 or (
            not self.is_too_long() and self.label_is_on_one_line(fields) and not self.swallows_records(fields)
        )

    def is_too_long(self) -> bool:
        """Return whether the lines just read are more than one record is allowed to have."""
        record = self._record
        return (self._bounded and len(record) > MOST_LINES) or sum(map(len, record[1:])) > LONGEST_RECORD

    def label_is_on_one_line(self, fields: list[str]) -> bool:
        """Return whether the label holds no line break, as no label does."""
        return "\n" not in fields[self._layout.label]

    def swallows_records(self, fields: list[str]) -> bool:
        """Return whether most lines of the record look like records of their own, with a known label.

        The line that holds the label of the whole record always may, so it is no evidence.
        """
        label = self._layout.label
        broken = next((at for at, field in enumerate(fields) if "\n" in field), 0)
        others = self._record[1:] if label < broken else self._record[:-1]
        split = [self._layout.split(line) for line in others if not is_blank(line)]
        known = sum(isinstance(each, Repaired) and each[label] in self._labels for each in split)
        return 2 * known > len(split)

    def _open(self) -> Iterator[list[str]]:
        return self._parse(self._feed())

    def _parse(self, lines: Iterator[str]) -> "Reader":
        dialect = self._layout.dialect
        assert dialect.quote is not None
        return csv.reader(
            lines,
            delimiter=dialect.delimiter,
            quotechar=dialect.quote,
            skipinitialspace=dialect.spaces,
            strict=True,
        )

    def _feed(self) -> Iterator[str]:
        """Yield the lines of the record being read; end where it is too long to be one."""
        record, returned, ahead = self._record, self._returned, self._ahead
        size = 0
        while True:
            waiting = returned or ahead
            line = waiting.popleft() if waiting else next(self._lines, "")
            if not line:
                return
            size = size + len(line) if record else 0
            if size > LONGEST_RECORD or (self._bounded and len(record) == MOST_LINES):
                returned.appendleft(line)
                return
            record.append(line)
            yield line


def is_blank(line: str) -> bool:
    """Return whether a line holds nothing but spaces."""
    return not line.strip(" \r\n")


def read_plain(lines: Iterator[str], layout: Layout) -> Iterator[Block]:
    """Yield the records of a file without quotes, where each line is one, as `RecordReader` does."""
    delimiter, width = layout.dialect.delimiter, layout.width
    while block := list(islice(lines, LINES_AT_ONCE)):
        records = [line.rstrip("\r\n").split(delimiter) for line in block]
        if all(len(fields) == width for fields in records):
            yield records, block, True
            continue
        for fields, line in zip(records, block, strict=True):
            yield [fields], [line], len(fields) == width
