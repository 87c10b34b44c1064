"""The layout of a record: its dialect, the names of its fields, and which of them hold text and label."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bertline.stages.ingest.delimited.dialect import Dialect
from bertline.stages.ingest.delimited.header import fold_name
from bertline.stages.ingest.records import Broken, ColumnSpec, Repaired

INTEGER = re.compile(r"\s*-?\d{1,18}\s*")  # what row names are


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What a sound record of the file looks like. A field that the header does not name has the name ""."""

    dialect: Dialect
    names: list[str]
    row_names: bool  # a field stands before those that the header names
    trailing: bool  # a delimiter stands behind the last field that the header names
    text: int  # the field that surplus delimiters belong to
    last_text: int  # the last field that is part of a text
    label: int

    @property
    def width(self) -> int:
        """Return the number of fields of a record."""
        return len(self.names)

    @property
    def text_comes_last(self) -> bool:
        """Return whether a line break in a text would cut off nothing but the rest of this text."""
        return self.label < self.last_text == self.width - 1 - self.trailing

    def describe(self) -> str:
        """Return the dialect and what the header does not name, in words."""
        row_names = ", row names before the first column" if self.row_names else ""
        trailing = ", a delimiter behind the last column" if self.trailing else ""
        return f"{self.dialect.describe()}{row_names}{trailing}"

    def is_faulty(self, fields: Sequence[str]) -> bool:
        """Return whether a field that the header does not name holds more than a row number, or nothing."""
        return (self.trailing and fields[-1].strip() != "") or (
            self.row_names and not INTEGER.fullmatch(fields[0])
        )

    def split(self, line: str) -> Repaired | Broken:
        """Split a line, its quotes taken as plain characters; surplus delimiters belong to the text."""
        fields = line.rstrip("\r\n").split(self.dialect.delimiter)
        if self.label > self.text:  # surplus delimiters at the end are no text: it ends before the label
            while len(fields) > self.width and not any(fields[-1 - self.trailing :]):
                fields.pop()
        end = len(fields) - self.width + self.text + 1
        if end <= self.text:
            return self.too_few(fields, line)
        text = self.dialect.delimiter.join(fields[self.text : end])
        return Repaired(map(self._unquote, [*fields[: self.text], text, *fields[end:]]))

    def too_few(self, fields: list[str], line: str) -> Broken:
        """Return a line that has fewer fields than a record, and how many it has."""
        count = f"{len(fields)} field{'s' * (len(fields) != 1)}"
        added = self.row_names + self.trailing
        header = f"the header has {self.width - added}"
        wanted = f"{header}, other records have {self.width}" if added else header
        return Broken(f"{count}, {wanted}", self.raw(line))

    def raw(self, line: str) -> str:
        """Return a line as the file has it, without its end."""
        return self.dialect.restore(line).rstrip("\r\n")

    def _unquote(self, field: str) -> str:
        quote = self.dialect.quote
        if quote is None:
            return field
        if self.dialect.spaces:
            field = field.lstrip(" ")
        if len(field) > 1 and field[0] == field[-1] == quote:
            return field[1:-1].replace(2 * quote, quote)
        return field


def make_layout(
    dialect: Dialect, names: list[str], wanted: ColumnSpec, *, row_names: bool = False, trailing: bool = False
) -> Layout:
    """Return the layout of the records under a header with `names`, which may lack optional columns."""
    fields = [""] * row_names + names + [""] * trailing
    places: dict[str, list[int]] = {}
    for name, key in wanted.items():
        if fold_name(name) not in fields:
            continue
        places.setdefault(key, []).append(fields.index(fold_name(name)))
    texts = places["text_column"]
    return Layout(
        dialect=dialect,
        names=fields,
        row_names=row_names,
        trailing=trailing,
        text=texts[0],
        last_text=max(texts + places.get("pair_column", [])),
        label=places["label_column"][0],
    )
