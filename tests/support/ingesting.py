"""Read sources in tests: the shipped section `ingest`, with some keys changed."""

import pyarrow as pa

from bertline.params.ingest import Params
from bertline.rows.schema import SOURCE_SCHEMA
from bertline.stages.ingest.source_reader import FileReport, read_source
from tests.support.params import section


def ingest_params(source: str, **changes: object) -> Params:
    params: Params = section("ingest", source=source, **changes)
    return params


def read(source: str, **changes: object) -> pa.Table:
    return read_and_report(source, **changes)[0]


def read_and_report(source: str, **changes: object) -> tuple[pa.Table, list[FileReport]]:
    reading = read_source(ingest_params(source, **changes))
    rows = pa.concat_tables([SOURCE_SCHEMA.empty_table(), *reading])
    assert len(rows) == sum(file.rows for file in reading.files)
    return rows, reading.files
