"""Records of CSV and TSV files, also of CSV files whose quotes are broken.

A TSV line is a record and its quotes are plain characters, as in the format's registration with IANA. CSV
is RFC 4180: a value in quotes may hold delimiters and line breaks. Where that fails, a line is taken
alone and its quotes as plain characters: an unclosed quote costs no following line. Guarantees that every
non-blank line is part of exactly one record. Does not guarantee that a repaired record is what its author
meant. A record of several lines may be sound by chance, where one stray quote opens it and another closes
it: it is taken apart if its label holds a line break, or if most of its lines could be records whose label
was met before. So before any label was met, at the top of a file, it stays one; and a sound record is
taken apart if its text quotes lines of such a file. In a file where a record of more than `MOST_LINES`
lines was unsound, each one as long is.
"""

import csv
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from bertline.corpus.readers import Broken, Records, Repaired, Wanted, check_columns, collect

DELIMITERS = (",", ";", "\t", "|")
LONGEST_RECORD = 1 << 20  # characters of a record of several lines; beyond it, a quote was left open
MOST_LINES = 1000  # of a record, once a longer one was unsound: each line given back starts a new one
LABELS_REMEMBERED = 1000

Item = list[str] | Broken


@dataclass(frozen=True)
class Layout:
    """How a line of a file is laid out: its delimiter, its fields, and which of them hold what."""

    delimiter: str
    quoted: bool  # whether a pair of quotes around a field is no part of it
    names: list[str]
    text: int  # the field that surplus delimiters belong to
    label: int

    def split(self, line: str) -> Repaired | Broken:
        """Split a line, its quotes taken as plain characters; surplus delimiters belong to the text."""
        fields = line.rstrip("\r\n").split(self.delimiter)
        end = len(fields) - len(self.names) + self.text + 1
        if end <= self.text:
            return self.too_few(fields, line)
        text = self.delimiter.join(fields[self.text : end])
        whole = [*fields[: self.text], text, *fields[end:]]
        return Repaired(map(_unquote, whole) if self.quoted else whole)

    def too_few(self, fields: list[str], line: str) -> Broken:
        """Say that a line has fewer fields than the header."""
        count = f"{len(fields)} field{'s' * (len(fields) != 1)}"
        return Broken(f"{count}, the header has {len(self.names)}", line.rstrip("\r\n"))


def read_tsv(lines: Iterator[str], wanted: Wanted, _multi_label: bool = False) -> Iterator[Records]:
    """Read lines of fields between tab characters; the first line names the columns."""
    start, header = _header(lines)
    layout = _layout(header, "\t", wanted, quoted=False)
    return collect(_tsv_records(lines, layout, start), _fields(layout, wanted))


def read_csv(lines: Iterator[str], wanted: Wanted, _multi_label: bool = False) -> Iterator[Records]:
    """Read comma-separated values; the delimiter is the one with which the header has the wanted columns."""
    csv.field_size_limit(1 << 30)  # of the process; the lines of a file are bounded where they are read
    start, header = _header(lines)
    layouts = [_layout(header, delimiter, wanted, quoted=True) for delimiter in DELIMITERS]
    layout = max(layouts, key=lambda each: (sum(name in wanted for name in each.names), len(each.names)))
    return collect(_csv_records(lines, layout, start), _fields(layout, wanted))


def _header(lines: Iterator[str]) -> tuple[int, str]:
    """Return the number of the first line that is not blank, and the line."""
    for number, line in enumerate(lines, start=1):
        if line.strip():
            return number, line.rstrip("\r\n").replace("\r", " ")
    raise ValueError("the file has only blank lines")


def _layout(header: str, delimiter: str, wanted: Wanted, *, quoted: bool) -> Layout:
    fields = next(csv.reader([header], delimiter=delimiter)) if quoted else header.split(delimiter)
    names = [name.strip() for name in fields]
    position = {key: names.index(name) for name, key in reversed(wanted.items()) if name in names}
    return Layout(delimiter, quoted, names, position.get("text_column", 0), position.get("label_column", 0))


def _fields(layout: Layout, wanted: Wanted) -> dict[str, int]:
    check_columns(layout.names, wanted)
    return {name: layout.names.index(name) for name in wanted}


def _tsv_records(lines: Iterator[str], layout: Layout, start: int) -> Iterator[Item]:
    for number, line in enumerate(lines, start=start + 1):
        fields = line.rstrip("\r\n").split("\t")
        if len(fields) == len(layout.names):
            yield fields
        elif not _is_blank(line):
            yield _numbered(layout.split(line), number)


def _csv_records(lines: Iterator[str], layout: Layout, start: int) -> Iterator[Item]:
    """Read strictly as long as it goes; an unsound record gives back all but its first line."""
    width, label = len(layout.names), layout.label
    returned: deque[str] = deque()
    record: list[str] = []  # the lines of the record being read
    labels: set[str] = set()
    bounded = False

    def feed() -> Iterator[str]:
        size = 0
        for line in chain(iter(lambda: returned.popleft() if returned else "", ""), lines):
            size = size + len(line) if record else 0
            if size > LONGEST_RECORD or (bounded and len(record) == MOST_LINES):
                returned.appendleft(line)
                return
            record.append(line)
            yield line

    reader = csv.reader(feed(), delimiter=layout.delimiter, strict=True)
    number = start + 1
    while True:
        record.clear()
        try:
            fields = next(reader, None)
        except csv.Error:
            fields = []
        if fields is None:
            return
        single = len(record) == 1
        if len(fields) == width and (
            single or not ("\n" in fields[label] or _swallows(record, fields, layout, labels))
        ):
            if single and fields[label] and len(labels) < LABELS_REMEMBERED:
                labels.add(fields[label])
            yield fields
            number += len(record)
            continue
        line = record[0]
        if not _is_blank(line):
            sound = single and 0 < len(fields) < width
            yield _numbered(layout.too_few(fields, line) if sound else layout.split(line), number)
        bounded = bounded or len(record) > MOST_LINES
        returned.extendleft(reversed(record[1:]))
        reader = csv.reader(feed(), delimiter=layout.delimiter, strict=True)
        number += 1


def _swallows(record: list[str], fields: list[str], layout: Layout, labels: set[str]) -> bool:
    """Return whether most lines of a record look like records of their own, with a label met before.

    The line that holds the label of the whole record always may, so it is no evidence.
    """
    broken = next(at for at, field in enumerate(fields) if "\n" in field)
    others = record[1:] if layout.label < broken else record[:-1]
    split = [layout.split(line) for line in others if not _is_blank(line)]
    known = sum(isinstance(each, Repaired) and each[layout.label] in labels for each in split)
    return 2 * known > len(split)


def _is_blank(line: str) -> bool:
    return not line.strip(" \r\n")


def _numbered(item: Repaired | Broken, number: int) -> Item:
    return Broken(f"line {number}: {item.fault}", item.raw) if isinstance(item, Broken) else item


def _unquote(field: str) -> str:
    if len(field) > 1 and field[0] == field[-1] == '"':
        return field[1:-1].replace('""', '"')
    return field
