"""Files of people's notes on rows: CSV under version control, one line per row, e.g. data/reviews.csv.

A kind of note is a dataclass of strings that raises ValueError on a value that is not allowed. Its fields are
the columns; the first identifies the row.

Guarantees that lines are sorted by row, so that a change reads well in a diff; that nothing is written over a
file that cannot be read; and that an interrupted write leaves the old file. Does not guard against two
processes that write at once: callers that need it hold a lock.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from bertline.core.files import replacing

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Note = TypeVar("Note", bound="DataclassInstance")


def read_notes(path: Path, kind: type[Note]) -> dict[str, Note]:
    """Return the notes of a `kind` in the file, by their row.

    Raises:
        ValueError: the file is missing, a line is no such note, or two lines are on the same row.
    """
    notes: dict[str, Note] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:  # a spreadsheet may have left its mark
            for line, row, note in _parse(file, path, kind):
                if row in notes:
                    raise ValueError(f"{path} line {line}: row {row} has a line above; keep one of them")
                notes[row] = note
    except FileNotFoundError:
        raise ValueError(f"{path} is not here; restore it with: git checkout {path}") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a CSV file in UTF-8: {error}") from None
    return notes


def write_notes(path: Path, notes: Mapping[str, Note], kind: type[Note]) -> None:
    """Write `notes`, by their row, as the whole file; a value of several lines becomes one line."""
    columns = [field.name for field in fields(kind)]
    with (
        replacing(path, keep_mode=True, durable=True) as new,
        new.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for _, note in sorted(notes.items()):  # a value on one line, so that a diff has one too
            writer.writerow([" ".join(str(getattr(note, name)).splitlines()).strip() for name in columns])


def _parse(lines: Iterable[str], path: Path, kind: type[Note]) -> Iterator[tuple[int, str, Note]]:
    columns = [field.name for field in fields(kind)]
    reader = csv.reader(lines, strict=True)
    header = next(reader, [])
    if header != columns:
        raise ValueError(f"{path} has columns {', '.join(header) or '(none)'}; expected {', '.join(columns)}")
    for values in reader:
        if not values:  # a blank line
            continue
        if len(values) != len(columns):
            raise ValueError(
                f"{path} line {reader.line_num}: {len(values)} values, expected {len(columns)}; "
                'a note with a comma needs quotes: "..."'
            )
        found = [value.strip() for value in values]
        try:
            yield reader.line_num, found[0], kind(**dict(zip(columns, found, strict=True)))
        except ValueError as error:
            raise ValueError(f"{path} line {reader.line_num}: {error}") from None
