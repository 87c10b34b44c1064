"""The sources of rows: packaged samples, and files under data/incoming/.

- Every non-blank record becomes exactly one row. The rows of test files come first, then those of validation
  files, then the others; files are sorted by name.
- A record that cannot be read is a row with a fault, and holds the record raw.
- A file that is unusable as a whole is a ValueError that names it. A file without rows is none, unless all
  files of a source are without.
- Rows with an empty text or label are kept: `validate` quarantines them.
- At most `records.RECORDS_AT_ONCE` records are held at once.
"""

import csv
import lzma
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path

import pyarrow as pa

from bertline.params.ingest import Params, columns
from bertline.rows.extra import extra_names
from bertline.rows.incoming import COMPRESSIONS, kind_of
from bertline.rows.io import one_line
from bertline.rows.labels import LabelSpace
from bertline.stages.ingest.columns import to_rows
from bertline.stages.ingest.delimited.reader import read_delimited
from bertline.stages.ingest.delimited.recognition import data_lines, recognise
from bertline.stages.ingest.encodings import detect_encoding, read_lines
from bertline.stages.ingest.file_report import FileReport
from bertline.stages.ingest.jsonl import read_jsonl
from bertline.stages.ingest.label_column import LabelColumn
from bertline.stages.ingest.parquet import read_parquet
from bertline.stages.ingest.records import OPTIONAL, RECORDS_AT_ONCE, ColumnSpec, Records
from bertline.stages.ingest.samples import read_sample
from bertline.stages.ingest.source_files import delivery_name, find_files
from bertline.stages.ingest.values import clean

TEXT_READERS: dict[str, Callable[[Iterator[str], ColumnSpec, LabelSpace], Iterator[Records]]] = {
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".json": read_jsonl,
}


class SourceReader:
    """The rows of `params.source` and of the official splits: iterate once; then `files` has the counts.

    Paths are relative to the current folder. Labels are as `label_column` writes them, texts are left
    as they are. A time stamp without an offset is taken as UTC.
    """

    def __init__(self, params: Params, parts: list[tuple[Path, str | None]]) -> None:
        """Take the files to read, each with the side its rows are on, besides the sample of `params`."""
        self.params = params
        self.files: list[FileReport] = []
        self.labels = LabelColumn(params)
        self._parts = parts
        self._kept: set[str] = set()
        self._names: dict[str, None] = {}  # of all columns, in the order of the files

    def __iter__(self) -> Iterator[pa.Table]:
        """Yield tables of `rows.SOURCE_SCHEMA`.

        Raises:
            ValueError: a file is unusable as a whole, all files of a source are without rows, or no row has a
                value of a column to keep.
        """
        for side, key in (("test", "test_source"), ("validation", "validation_source"), (None, "source")):
            first = len(self.files)
            for path in (path for path, of in self._parts if of == side):
                yield from self._read_file(path, side)
            if len(self.files) > first and not any(file.rows for file in self.files[first:]):
                raise ValueError(_no_rows(key, getattr(self.params, key), self.files[first:]))
        if self.params.source.startswith("sample:"):
            yield from self._read_sample(self.params.source)
        if missing := [name for name in self.params.keep_columns if name not in self._kept]:
            raise ValueError(
                f"no row has a value of the column {missing[0]!r} (ingest.keep_columns); correct its name,"
                f" or remove it; the files have: {', '.join(self._names)}"
            )

    def _read_sample(self, source: str) -> Iterator[pa.Table]:
        texts, labels, encoding = read_sample(source)
        report = FileReport(source, encoding=encoding)
        self.files.append(report)
        params = _of_samples(self.params)
        for start in range(0, len(texts), RECORDS_AT_ONCE):
            part = slice(start, start + RECORDS_AT_ONCE)
            values = {"text": texts[part], "label": labels[part]}
            records = Records(values, {}, 0, values)
            yield self._to_rows(records, params, report, batch=source.partition(":")[2], side=None)

    def _read_file(self, path: Path, side: str | None) -> Iterator[pa.Table]:
        report = FileReport(clean(path.as_posix()))
        self.files.append(report)
        batch = clean(delivery_name(path))
        try:
            for records in self._records(path, report):
                yield self._to_rows(records, self.params, report, batch=batch, side=side)
        except (ValueError, pa.ArrowException, csv.Error) as error:
            raise ValueError(f"{report.path}: {clean(one_line(error))}") from None
        except (EOFError, zlib.error, lzma.LZMAError, OSError) as error:
            if path.suffix.lower() not in COMPRESSIONS:
                raise
            raise ValueError(f"{report.path}: cannot be decompressed: {one_line(error)}") from None

    def _records(self, path: Path, report: FileReport) -> Iterator[Records]:
        params = self.params
        kind = kind_of(path)
        if kind == ".parquet":
            return read_parquet(path, _wanted(params), self.labels.space)
        encoding = params.encoding or detect_encoding(path)
        report.encoding = encoding
        strict, wanted = params.encoding is not None, _wanted(params)

        def open_lines(replaced: Callable[[int], None] = lambda _count: None) -> Iterator[str]:
            return _unless_blank(read_lines(path, encoding, strict=strict, replaced=replaced))

        if next(open_lines(), None) is None:
            return iter(())
        if kind in TEXT_READERS:
            return TEXT_READERS[kind](open_lines(report.add_replaced), wanted, self.labels.space)
        recognised = recognise(open_lines, wanted, quoted=kind == ".csv")
        report.dialect, report.dialect_doubt = recognised.describe(), recognised.doubt
        lines = data_lines(partial(open_lines, report.add_replaced), recognised.header)
        return read_delimited(lines, recognised, wanted)

    def _to_rows(
        self, records: Records, params: Params, report: FileReport, *, batch: str, side: str | None
    ) -> pa.Table:
        rows, broken = to_rows(records, params, self.labels, source=report.path, batch=batch, side=side)
        report.rows += len(rows)
        report.add_faults(broken)
        report.repaired_quotes += records.repaired
        self._kept.update(extra_names(rows))
        self._names.update(dict.fromkeys(records.names))
        return rows


def read_source(params: Params) -> SourceReader:
    """Find the files that `params` names; iterate over what is returned to read them.

    Raises:
        ValueError: no file matches, or one lies elsewhere than under data/incoming/.
    """
    parts: list[tuple[Path, str | None]] = []
    for key, side in (("test_source", "test"), ("validation_source", "validation"), ("source", None)):
        pattern = getattr(params, key)
        if pattern is None or (key == "source" and pattern.startswith("sample:")):
            continue
        known = {path for path, _ in parts}
        found = [path for path in find_files(key, pattern) if path not in known]
        if not found:
            raise ValueError(f"ingest.{key} is {pattern!r}, whose files are all official splits already")
        parts += [(path, side) for path in found]
    return SourceReader(params, parts)


def _unless_blank(lines: Iterator[str]) -> Iterator[str]:
    """Yield the lines, or none if all are blank; pandas writes a table without columns as `""`."""
    blank: list[str] = []
    for line in lines:
        blank.append(line)
        if line.strip(' \t\r\n"'):
            return chain(blank, lines)
    return iter(())


def _no_rows(key: str, source: str, files: list[FileReport]) -> str:
    """Return the message for a source whose files have no rows."""
    names = ", ".join(file.path for file in files[:3]) + ", ..." * (len(files) > 3)
    found = f"the {len(files)} files that it names have" if len(files) > 1 else "the file that it names has"
    return f"ingest.{key} is {source!r}, and {found} no rows ({names}); deliver rows, or name other files"


def _wanted(params: Params) -> ColumnSpec:
    """Return the columns to read; the first text column stands first, because surplus delimiters are its."""
    keys = {
        "text_column": columns(params.text_column),
        "pair_column": columns(params.pair_column),
        "label_column": columns(params.label_column),
        "timestamp_column": columns(params.timestamp_column),
        "batch_column": columns(params.batch_column),
        OPTIONAL: params.keep_columns,
    }
    wanted: ColumnSpec = {}
    for key, names in keys.items():
        for name in names:
            wanted.setdefault(name, key)
    return wanted


def _of_samples(params: Params) -> Params:
    return replace(
        params,
        text_column="text",
        pair_column=None,
        label_column="label",
        timestamp_column=None,
        batch_column=None,
        keep_columns=[],
    )
