"""Where rows come from: packaged samples, and files under data/incoming/.

Guarantees that every non-blank record becomes exactly one row, in the order test files, validation files,
other files, each sorted by name; a record that cannot be read is a row with a fault, and holds it raw. A file
that is unusable as a whole is a ValueError that names it. Rows with an empty text or label are kept:
`validate` sets them aside. Streams: no more than `readers.HELD` records are held at once.
"""

import csv
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc

from bertline.corpus.columns import clean, to_rows
from bertline.corpus.decoding import detect_encoding, read_lines
from bertline.corpus.delimited import read_csv, read_tsv
from bertline.corpus.readers import HELD, Records, Wanted, read_jsonl, read_parquet
from bertline.corpus.rows import one_line
from bertline.corpus.samples import read_sample
from bertline.params.ingest import Params, columns

INCOMING = PurePosixPath("data/incoming")
COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")
TEXT_READERS: dict[str, Callable[[Iterator[str], Wanted, bool], Iterator[Records]]] = {
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
}


@dataclass
class FileReport:
    """What was read from a file or sample: complete once its rows are."""

    path: str
    rows: int = 0
    encoding: str | None = None  # of a text file
    faults: int = 0
    replaced: int = 0  # characters that are not of the encoding, now U+FFFD
    repaired_quotes: int = 0  # records whose quotes or surplus delimiters had to be interpreted

    def add_replaced(self, count: int) -> None:
        """Count characters that were replaced while decoding."""
        self.replaced += count


class Reading:
    """The rows of `params.source` and of the official splits: iterate once; then `files` tells the counts.

    Paths are relative to the current folder. Labels are as `rows.label_name` writes them, texts are left
    as they are. A time stamp without an offset is taken as UTC.
    """

    def __init__(self, params: Params, parts: list[tuple[Path, str | None]]) -> None:
        """Take the files to read, each with the side its rows are on, besides the sample of `params`."""
        self.params = params
        self.files: list[FileReport] = []
        self._parts = parts

    def __iter__(self) -> Iterator[pa.Table]:
        """Yield tables of `rows.SOURCED`.

        Raises:
            ValueError: a file is unusable as a whole; the message says which, and what to do.
        """
        for path, side in self._parts:
            yield from self._read_file(path, side)
        if self.params.source.startswith("sample:"):
            yield from self._read_sample(self.params.source)

    def _read_sample(self, source: str) -> Iterator[pa.Table]:
        texts, labels, encoding = read_sample(source)
        report = FileReport(source, encoding=encoding)
        self.files.append(report)
        params = _of_samples(self.params)
        for start in range(0, len(texts), HELD):
            part = slice(start, start + HELD)
            records = Records({"text": texts[part], "label": labels[part]}, {}, 0)
            yield self._count(
                report, records, to_rows(records, params, source, source.partition(":")[2], None)
            )

    def _read_file(self, path: Path, side: str | None) -> Iterator[pa.Table]:
        report = FileReport(clean(path.as_posix()))
        self.files.append(report)
        batch = _batch(path)
        try:
            for records in self._records(path, report):
                yield self._count(report, records, to_rows(records, self.params, report.path, batch, side))
            if not report.rows:
                raise ValueError("the file has no rows")
        except (ValueError, pa.ArrowException, csv.Error) as error:
            raise ValueError(f"{report.path}: {clean(one_line(error))}") from None
        except (EOFError, zlib.error, lzma.LZMAError, OSError) as error:
            if path.suffix.lower() not in COMPRESSIONS:
                raise
            raise ValueError(f"{report.path}: cannot be decompressed: {one_line(error)}") from None

    def _records(self, path: Path, report: FileReport) -> Iterator[Records]:
        params = self.params
        multi_label = params.label_separator is not None
        kind = kind_of(path)
        if kind == ".parquet":
            return read_parquet(path, _wanted(params), multi_label)
        encoding = params.encoding or detect_encoding(path)
        report.encoding = encoding
        lines = read_lines(path, encoding, strict=params.encoding is not None, replaced=report.add_replaced)
        return TEXT_READERS[kind](lines, _wanted(params), multi_label)

    @staticmethod
    def _count(report: FileReport, records: Records, rows: pa.Table) -> pa.Table:
        report.rows += len(rows)
        report.faults += pc.sum(pc.is_valid(rows["fault"])).as_py()
        report.repaired_quotes += records.repaired
        return rows


def read_source(params: Params) -> Reading:
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
        found = [path for path in _find_files(key, pattern) if path not in known]
        if not found:
            raise ValueError(f"ingest.{key} is {pattern!r}, whose files are all official splits already")
        parts += [(path, side) for path in found]
    return Reading(params, parts)


def _wanted(params: Params) -> Wanted:
    """Return the columns to read; the first text column stands first, because surplus delimiters are its."""
    keys = {
        "text_column": columns(params.text_column),
        "pair_column": columns(params.pair_column),
        "label_column": columns(params.label_column),
        "timestamp_column": columns(params.timestamp_column),
        "batch_column": columns(params.batch_column),
    }
    wanted: Wanted = {}
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
    )


def _find_files(key: str, source: str) -> list[Path]:
    pattern = PurePosixPath(source)
    if not pattern.is_relative_to(INCOMING) or ".." in pattern.parts:
        raise ValueError(
            f"ingest.{key} is {source!r}; files must lie under {INCOMING}/, named from the project's folder:"
            " DVC notices new data only there"
        )
    if any("**" in part and part != "**" for part in pattern.parts):  # Python 3.13 would read it as *
        raise ValueError(
            f"ingest.{key} is {source!r}, which is no glob: ** must stand alone; "
            f"allowed: e.g. {INCOMING}/**/*.csv"
        )
    found = [Path(source)] if Path(source).is_file() else sorted(Path().glob(source), key=_natural)
    # .csv.dvc is what `dvc add` leaves beside a file, .gitkeep and .gitignore are git's.
    files = [path for path in found if path.is_file() and path.name[0] != "." and path.suffix != ".dvc"]
    if not files:
        hint = f"put files there, or name them with a glob such as {INCOMING}/*.csv"
        raise ValueError(f"no file matches ingest.{key} {source!r}; {hint}")
    return files


def _natural(path: Path) -> tuple[list[tuple[str, int]], str]:
    """Sort week-9 before week-10: the files of a delivery come in the order they were meant."""
    name = path.as_posix()
    return [(text, int(digits or 0)) for text, digits in re.findall(r"(\D*)(\d*)", name)], name


def kind_of(path: Path) -> str:
    """Return the suffix that says how to read a file, without that of its compression."""
    compressed = path.suffix.lower() in COMPRESSIONS
    kind = (path.with_suffix("") if compressed else path).suffix.lower()
    if kind in TEXT_READERS or (kind == ".parquet" and not compressed):
        return kind
    allowed = f"{', '.join(TEXT_READERS)}, each also with {', '.join(COMPRESSIONS)}; .parquet"
    raise ValueError(f"unknown kind of file; allowed: {allowed}")


def _batch(path: Path) -> str:
    """Return the name of a file as a delivery: its path under data/incoming/ without suffixes we know."""
    name = path.relative_to(INCOMING)
    for known in (COMPRESSIONS, (*TEXT_READERS, ".parquet")):
        if name.suffix.lower() in known:
            name = name.with_suffix("")
    return clean(name.as_posix())
