"""Read sources in tests: the knobs of `ingest` with values that change nothing."""

import pyarrow as pa

from bertline.corpus.rows import SOURCED
from bertline.corpus.sources import FileReport, read_source
from bertline.params.ingest import Params

DEFAULTS = {
    "validation_source": None,
    "test_source": None,
    "text_column": "text",
    "pair_column": None,
    "label_column": "label",
    "label_separator": None,
    "label_map": {},
    "timestamp_column": None,
    "batch_column": None,
    "encoding": None,
}


def ingest_params(source: str, **knobs) -> Params:
    return Params(source=source, **(DEFAULTS | knobs))


def read(source: str, **knobs) -> pa.Table:
    return read_and_report(source, **knobs)[0]


def read_and_report(source: str, **knobs) -> tuple[pa.Table, list[FileReport]]:
    reading = read_source(ingest_params(source, **knobs))
    rows = pa.concat_tables([SOURCED.empty_table(), *reading])
    assert len(rows) == sum(file.rows for file in reading.files)
    return rows, reading.files
