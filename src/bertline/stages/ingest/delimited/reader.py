r"""Records of CSV and TSV files, in the dialect that the file itself shows.

The dialects that are known:

1. Delimiters: comma, semicolon, tab and pipe; another one if the first line is `sep=` and the character.
2. Double quotes around fields, with quotes inside doubled (RFC 4180) or behind a backslash (MySQL, Spark). In
   a quoted field, delimiters and line breaks are text. The same with single quotes.
3. No quotes: a line is a record, and quotes are characters, as in the registration of TSV with IANA. With
   backslash escapes (MySQL, PostgreSQL, ClickHouse), `\n` and an escaped line break are line breaks, and `\N`
   is null.
4. White space between a delimiter and a quote.
5. A field that the header does not name: row numbers in front (R's `write.table`, the index of a data frame),
   or nothing behind a delimiter at the end. Blank names at the end of the header that no record fills.
6. Lines before the header (a title, comments, `sep=;`), and names with line breaks in quotes.

`recognition` finds the dialect in the whole file, `encodings` deals with byte order marks and line ends,
`csv_repair` takes apart records whose quotes are broken, and `torn_texts` finds halves of texts.

Guarantees, besides those of `records`:

1. A line that is no sound record becomes a row by itself, if its fields show what is text and what is label.
   Surplus delimiters then belong to the text, and the row counts as repaired.
2. No row has half a text and a label: halves are rows with a fault.
3. A line that repeats the header is a row with a fault. So is one with a value in a field that has no name.
"""

from collections.abc import Iterator, Sequence

from bertline.stages.ingest.delimited.csv_repair import RecordReader, is_blank, read_plain
from bertline.stages.ingest.delimited.header import fold_name
from bertline.stages.ingest.delimited.layout import Layout
from bertline.stages.ingest.delimited.recognition import Recognised
from bertline.stages.ingest.delimited.torn_texts import Parsed, TornTexts
from bertline.stages.ingest.records import Broken, ColumnSpec, Records, collect

NO_NAME = "a field that the header does not name has a value"
Item = Sequence[str | None] | Broken


def read_delimited(lines: Iterator[str], recognised: Recognised, wanted: ColumnSpec) -> Iterator[Records]:
    """Read the lines after the header of a file whose dialect was recognised."""
    layout = recognised.layout
    fields = {name: layout.names.index(fold_name(name)) for name in wanted if fold_name(name) in layout.names}
    return collect(_read_items(lines, recognised), fields, recognised.header.names)


def _read_items(lines: Iterator[str], recognised: Recognised) -> Iterator[Item]:
    """Yield the values of each record, or its fault with the number of its line."""
    layout, number = recognised.layout, recognised.header.lines + 1
    dialect = layout.dialect
    lines = dialect.join_lines(lines)
    blocks = RecordReader(lines, layout, recognised.labels) if dialect.quote else read_plain(lines, layout)
    torn = TornTexts(layout, recognised.labels, wraps=recognised.wraps)
    for records, block, sound in blocks:
        lines_each = len(records) == len(block)
        plain = sound and lines_each and not dialect.escapes
        if layout.row_names or layout.trailing:
            plain = plain and not any(map(layout.is_faulty, records))
        if plain and torn.is_idle and not _hold_header(records, layout):
            yield from records
            number += len(block)
            continue
        for at, fields in enumerate(records):
            record = [block[at]] if lines_each else block
            for parsed in _parse(fields, record, number, layout, sound=sound):
                yield from (_item(each, layout) for each in torn.mark(parsed))
            number += sum(map(dialect.count_lines, record))
    yield from (_item(each, layout) for each in torn.release())


def _parse(
    fields: list[str], record: list[str], number: int, layout: Layout, *, sound: bool
) -> Iterator[Parsed]:
    """Yield a record as it is or repaired, or what is broken about it; nothing if it is blank."""
    if not sound and is_blank(record[0]):
        return
    item: list[str] | Broken = fields
    if not sound:
        strict = layout.dialect.quote is not None and 0 < len(fields) < layout.width
        item = layout.too_few(fields, record[0]) if strict else layout.split(record[0])
    if not isinstance(item, Broken) and layout.is_faulty(item):
        item = Broken(NO_NAME, layout.raw("".join(record)))
    yield item, record, number


def _item(parsed: Parsed, layout: Layout) -> Item:
    item, record, number = parsed
    if isinstance(item, Broken):
        return Broken(f"line {number}: {item.fault}", item.raw, item.reason or item.fault, f"line {number}")
    if _hold_header([item], layout):
        again = "the header again"
        return Broken(f"line {number}: {again}", layout.raw("".join(record)), again, f"line {number}")
    if layout.dialect.escapes:
        return type(item)(map(layout.dialect.decode, item))  # type: ignore[arg-type]  # Repaired or not
    return item


def _hold_header(records: list[list[str]], layout: Layout) -> bool:
    """Return whether one of the records is the header again."""
    label, name = layout.label, layout.names[layout.label]
    if not any(name in value for value in {fields[label] for fields in records}):
        return False
    return any([fold_name(field) for field in fields] == layout.names for fields in records)
