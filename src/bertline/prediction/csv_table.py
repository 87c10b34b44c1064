"""Tables in CSV files, UTF-8 with a header: every column holds texts.

The first record has the delimiter between most fields, and so tells it. A quote that nothing closes is an
error, and so is text behind a closing quote of another line: a lenient reader would make one row of many.
"""

import codecs
import csv
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TextIO

import pyarrow as pa
import pyarrow.csv as pa_csv

_BLOCK = 1 << 23  # bytes read at once
_LONGEST = 2 * _BLOCK  # characters of a field
_DELIMITERS = ",;\t|"
_HEADER = 20  # lines that the header may have


def look_through(path: Path) -> tuple[str, int, pa.Schema]:
    """Return the delimiter of a file, the number of its rows, and its columns.

    Raises:
        ValueError: it has no header, a record of it cannot be read, or it is UTF-16.
        pa.ArrowException: a record of it cannot be read.
    """
    with path.open("rb") as binary:
        if binary.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            raise ValueError(f"{path} is UTF-16; write it as UTF-8")
    headers = {each: _header(path, each) for each in _DELIMITERS}
    delimiter = max(headers, key=lambda each: len(headers[each]))
    if not any(name.strip() for name in headers[delimiter]):
        raise ValueError(f"{path} has no header: its first line must name the columns")
    if not _has_rows(path, delimiter):
        return delimiter, 0, pa.schema([(name, pa.string()) for name in headers[delimiter]])
    with read_csv(path, delimiter) as reader:
        return delimiter, sum(len(batch) for batch in reader), reader.schema


def read_csv(path: Path, delimiter: str) -> pa_csv.CSVStreamingReader:
    """Return what reads the rows of a file, of which there is at least one, as batches of texts."""
    # In one thread, so that an error has the number of its row.
    how = {
        "read_options": pa_csv.ReadOptions(block_size=_BLOCK, use_threads=False),
        "parse_options": pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
    }
    with pa_csv.open_csv(path, **how) as reader:
        texts = dict.fromkeys(reader.schema.names, pa.string())
    return pa_csv.open_csv(path, **how, convert_options=pa_csv.ConvertOptions(column_types=texts))


def _header(path: Path, delimiter: str) -> list[str]:
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        return next(csv.reader(islice(file, _HEADER), delimiter=delimiter), [])


def _has_rows(path: Path, delimiter: str) -> bool:
    """Return whether a file has rows behind its header; ValueError where a quote makes one row of several."""
    csv.field_size_limit(_LONGEST)  # of the process
    records, at_end = 0, False

    def lines(file: TextIO) -> Iterator[str]:
        nonlocal at_end
        yield from file
        at_end = True

    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        reader = csv.reader(lines(file), delimiter=delimiter, strict=True)
        while True:
            start = reader.line_num + 1
            try:
                records += bool(next(reader))
            except StopIteration:
                return records > 1
            except csv.Error:
                if at_end or reader.line_num > start:
                    raise ValueError(
                        f"{path}: the record from line {start} on has a quote that nothing closes, text "
                        f"behind a closing quote, or more than {_LONGEST >> 20} MB"
                    ) from None
                records += 1  # text behind a closing quote, in one line
