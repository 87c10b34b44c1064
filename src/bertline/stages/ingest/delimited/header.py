"""The header of a delimited file: the first record that names all columns that are wanted.

Guarantees that the header is looked for in the first `HEADER_LINES` lines only, and that the lines before it
are counted. A name may hold line breaks in quotes; white space within names is compared as one space.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

DELIMITERS = (",", ";", "\t", "|")
HEADER_LINES = 50  # lines in which the header is looked for
HEADER_CHARACTERS = 1 << 18  # and characters, where lines are long
_SEPARATOR_LINE = re.compile(r'"?sep=([^\w\s"]|\t)"?', re.IGNORECASE)  # what Excel reads as the delimiter


@dataclass(frozen=True)
class Header:
    """Where the header stands, how it is delimited, and the names it holds."""

    names: list[str]
    delimiter: str
    quote: str | None  # what wraps some of the names; None: nothing does
    lines: int  # of the file, up to the last one of the header
    preamble: int  # lines before the header that are not blank


def fold_name(name: str) -> str:
    """Return the name of a column with its white space folded, and without a byte order mark."""
    return " ".join(name.replace("\ufeff", "").split())


def find_header(lines: Iterator[str], wanted: Iterable[str]) -> Header:
    """Return the header; where no record names all `wanted` columns, the one that names most.

    Raises:
        ValueError: the file has only blank lines.
    """
    csv.field_size_limit(1 << 30)  # of the process; the lines of a file are bounded where they are read
    skipped, head = _head(lines)
    separator = _SEPARATOR_LINE.fullmatch(head[0].strip(" \r\n"))
    delimiters = (separator[1],) if separator and len(head) > 1 else DELIMITERS
    names = {fold_name(name) for name in wanted}
    best: Header | None = None
    most = -1
    for at in range(len(delimiters) == 1, len(head)):
        if not head[at].strip():
            continue
        here = max(_candidates(head, at, delimiters, skipped), key=lambda each: _fit(each, names))
        found, _ = _fit(here, names)
        if found > most:
            best, most = here, found
        if found == len(names):
            break
    assert best is not None
    return best


def _fit(header: Header, wanted: set[str]) -> tuple[int, int]:
    """Return how many wanted columns a header has, and how many it has at all: more is better."""
    return len(wanted.intersection(header.names)), len(header.names)


def _head(lines: Iterator[str]) -> tuple[int, list[str]]:
    """Return the number of blank lines at the start, and the lines after them that may hold the header."""
    for skipped, line in enumerate(lines):
        if line.strip():
            head, size = [line], len(line)
            for following in islice(lines, HEADER_LINES - 1):
                size += len(following)
                if size > HEADER_CHARACTERS:
                    break
                head.append(following)
            return skipped, head
    raise ValueError("the file has only blank lines")


def _candidates(head: list[str], at: int, delimiters: Sequence[str], skipped: int) -> Iterator[Header]:
    """Yield the record that begins in line `at` under each delimiter and kind of quotes."""
    preamble = sum(bool(line.strip()) for line in head[:at])
    for quote in ('"', "'"):
        if quote == "'" and quote not in head[at]:
            continue
        for delimiter in delimiters:
            # A quote that is never closed takes in all lines that follow: then the line alone is tried.
            for lines in (head[at:], head[at : at + 1]):
                plain = (line.replace("\r\n", "\n").replace("\r", " ") for line in lines)
                reader = csv.reader(plain, delimiter=delimiter, quotechar=quote, skipinitialspace=True)
                names = [fold_name(name) for name in next(reader)]
                quoted = quote if quote in head[at] else None
                yield Header(names, delimiter, quoted, skipped + at + reader.line_num, preamble)
