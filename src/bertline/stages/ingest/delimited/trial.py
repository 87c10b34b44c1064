"""A trial: a whole file read under one dialect, and what speaks for and against this dialect.

A trial counts and keeps nothing but the first `LABELS_REMEMBERED` labels, so its memory is bounded.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import itemgetter

from bertline.stages.ingest.delimited.csv_repair import RecordReader, is_blank, read_plain
from bertline.stages.ingest.delimited.dialect import NULL
from bertline.stages.ingest.delimited.layout import INTEGER, Layout

LABELS_REMEMBERED = 1000
REPEATED = 3  # records from which on something is hardly chance
_ESCAPE = re.compile(r"\\[\"'\\\r\nN]")
_PLAIN_ESCAPE = re.compile(r"\\[\"'\\\r\nNnrt]")  # such letters are common in quoted prose
_OTHER_ESCAPE = re.compile(r"\\(?![0bfnrtvZN])")  # in a line whose escaped characters are marked


@dataclass
class Trial:
    """What the lines of a file showed under one layout. A record here has the width of the layout."""

    layout: Layout
    weighs_quotes: bool = True  # whether to look at each quote, which takes time
    lines: int = 0  # not blank, and not counted twice where a record has several
    records: int = 0
    bad: int = 0  # lines that are part of no record
    widths: Counter[int] = field(default_factory=Counter)  # of all that could be parsed
    labels: Counter[str] = field(default_factory=Counter)  # of records of one line
    # Signs that the quotes of the dialect wrap fields, or do not.
    texts: int = 0  # records whose text is not blank
    wrapped: int = 0  # records whose text stands in quotes
    needed: int = 0  # records with a quoted delimiter, line break or quote
    plain: int = 0  # records with a quote that no writer of this dialect leaves as it is
    # Signs of escapes, in a dialect that has them.
    nulls: int = 0  # records with a field that is null
    escaped_quotes: int = 0  # records with an escaped quote
    doubled_quotes: int = 0  # records with a doubled quote, where quotes should be escaped
    escaped_others: int = 0  # records with an escaped delimiter or, unquoted, an escaped line break
    escaped_breaks: int = 0  # quoted line breaks that are escaped, and those that are not
    plain_breaks: int = 0
    paired: int = 0  # records with an escaped backslash
    letters: int = 0  # lines with such a letter as in \n
    other_escapes: int = 0  # lines with a backslash that no writer of this dialect leaves as it is
    # Signs of other dialects.
    with_quote: int = 0  # lines with a double quote
    with_single: int = 0  # lines with a single quote where a field begins
    with_escape: int = 0  # lines with a backslash before a character that may be escaped
    with_space: int = 0  # lines with a delimiter, a space and a quote
    spaced: int = 0  # records with a field that begins with a space and a quote
    # Fields that the header does not name.
    surplus: int = 0  # all that could be parsed and have more fields
    integer_first: int = 0
    empty_last: int = 0
    space_in_surplus: int = 0  # with white space behind a delimiter, as in prose

    def read(self, lines: Iterator[str]) -> "Trial":
        """Read the lines after the header."""
        layout = self.layout
        lines = layout.dialect.join_lines(lines)
        blocks = (
            RecordReader(lines, layout, self.labels, self._count_fields)
            if layout.dialect.quote
            else read_plain(lines, layout)
        )
        for records, block, sound in blocks:
            self._count_lines(block)
            if layout.dialect.quote is None:
                self._count_fields(records)
            if sound:
                self._count_records(records, block)
            else:
                self.bad += sum(layout.dialect.count_lines(line) for line in block if not is_blank(line))
        self.labels.pop("", None)
        return self

    @property
    def needs_quotes(self) -> int:
        """Return how many records show that the quotes wrap fields."""
        always = self.wrapped == self.texts > 1 and not self.plain
        return max(self.needed, self.wrapped if always else 0)

    @property
    def needs_escapes(self) -> int:
        """Return how many records show that backslashes escape."""
        # What a text may hold by chance counts only where it comes again, and nothing speaks against it.
        chance = self.escaped_others if not self.other_escapes else 0
        chance += self.escaped_breaks if not self.plain_breaks else 0
        if self.layout.dialect.quote is None:
            chance += self.paired if not self.other_escapes else 0
            return self.nulls + (chance if chance >= REPEATED or self.nulls else 0)
        return self.nulls + self.escaped_quotes + (chance if chance >= REPEATED else 0)

    def _count_lines(self, lines: list[str]) -> None:
        """Count the lines, and those with signs of other dialects."""
        self.lines += len(lines) if len(lines) > 1 else not is_blank(lines[0])
        delimiter = self.layout.dialect.delimiter
        whole = "".join(lines)
        if '"' in whole:
            self.with_quote += sum('"' in line for line in lines)
            self.with_space += whole.count(f'{delimiter} "')
        if "'" in whole:
            self.with_single += sum(line[0] == "'" or f"{delimiter}'" in line for line in lines)
        if "\\" in whole:
            sign = _ESCAPE if self.layout.dialect.quote else _PLAIN_ESCAPE
            self.with_escape += sum(
                sign.search(line) is not None or f"\\{delimiter}" in line for line in lines
            )

    def _count_records(self, records: list[list[str]], lines: list[str]) -> None:
        """Count sound records: each of one line, or one of all the lines."""
        self.records += len(records)
        whole = "".join(lines)
        if len(records) < len(lines):
            self._count_signs(records, [whole], whole)
            return
        self.labels.update(map(itemgetter(self.layout.label), records))
        if len(self.labels) > 2 * LABELS_REMEMBERED:
            for label in list(self.labels)[LABELS_REMEMBERED:]:
                del self.labels[label]
        self._count_signs(records, lines, whole)

    def _count_fields(self, records: list[list[str]]) -> None:
        """Count the fields of records that may not have those of the layout."""
        widths = Counter(map(len, records))
        self.widths.update(widths)
        if max(widths) <= self.layout.width:
            return
        for fields in records:
            if len(fields) > self.layout.width:
                self.surplus += 1
                self.integer_first += INTEGER.fullmatch(fields[0]) is not None
                self.empty_last += not fields[-1].strip()
                self.space_in_surplus += any(each[:1] == " " for each in fields[1:])

    def _count_signs(self, records: list[list[str]], texts: list[str], whole: str) -> None:
        """Look at the records of which the file has `texts`, `whole` together; most have no signs."""
        dialect = self.layout.dialect
        quote = dialect.quote
        quoted = quote is not None and quote in whole
        spaced = quoted and not dialect.spaces and f"{dialect.delimiter} " in whole
        escaped = dialect.escapes and ("\\" in whole or "\n" in whole[:-1] or dialect.has_marks(whole))
        if self.weighs_quotes:
            self.texts += sum(bool(fields[self.layout.text].strip()) for fields in records)
        spaced = spaced and re.search(rf"{re.escape(dialect.delimiter)} +{quote}", whole) is not None
        weighs = quoted and self.weighs_quotes
        if not (spaced or escaped or weighs):
            return
        for fields, text in zip(records, texts, strict=True):
            if spaced:
                self.spaced += any(value.lstrip(" ")[:1] == quote != value[:1] for value in fields)
            if weighs and quote is not None and quote in text:
                self._count_quotes(fields, text)
            if escaped:
                self._count_escapes(fields, text)

    def _count_quotes(self, fields: list[str], whole: str) -> None:
        dialect, quote = self.layout.dialect, self.layout.dialect.quote
        assert quote is not None
        needed = plain = False
        for at, value in enumerate(fields):
            wrapped = f"{quote}{value.replace(quote, 2 * quote)}{quote}" in whole
            inner = quote in value
            plain = plain or (inner and not wrapped)
            escaped = dialect.escapes and dialect.marks(value, quote) > 0
            needed = needed or (wrapped and (inner or escaped))
            needed = needed or dialect.delimiter in value or "\n" in value
            if at == self.layout.text and value.strip():
                self.wrapped += wrapped
        self.needed += needed
        self.plain += plain

    def _count_escapes(self, fields: list[str], whole: str) -> None:
        dialect = self.layout.dialect
        is_text = dialect.quote is not None and f"{dialect.quote}{NULL}{dialect.quote}" in whole
        self.nulls += NULL in fields and not is_text
        self.paired += dialect.marks(whole, "\\") > 0
        delimiter, line_break = dialect.marks(whole, dialect.delimiter), dialect.marks(whole, "\n")
        if dialect.quote is None:
            self.escaped_others += delimiter + line_break > 0
        else:
            self.escaped_quotes += dialect.marks(whole, dialect.quote) > 0
            inner = any(dialect.quote in value for value in fields)
            self.doubled_quotes += inner and 2 * dialect.quote in whole
            self.escaped_others += delimiter > 0
            self.escaped_breaks += line_break
            self.plain_breaks += sum("\n" in value for value in fields)
        if "\\" in whole:
            self.letters += any(f"\\{letter}" in whole for letter in "nrt")
            self.other_escapes += _OTHER_ESCAPE.search(whole) is not None
