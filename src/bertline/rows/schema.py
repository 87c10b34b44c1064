"""The columns of a row, and tables of rows made from sequences."""

import pyarrow as pa

from bertline.rows.extra import EXTRA_TYPE

SOURCE_SCHEMA = pa.schema(
    {
        "text": pa.string(),
        "text_pair": pa.string(),  # the second text of a sentence pair, else null
        "label": pa.string(),  # of a multi-label target: the labels, sorted and joined by LABEL_SEPARATOR
        "source": pa.string(),  # the file or the packaged sample
        "batch": pa.string(),  # the delivery that brought the row: a column of the file, or the file's name
        "timestamp": pa.timestamp("us", "UTC"),
        "side": pa.string(),  # "validation" or "test" where the source's own split says so, else null
        "extra": EXTRA_TYPE,  # values of ingest.keep_columns by name; null: none
        "fault": pa.string(),  # why the record could not be read as it should; text then holds it raw
    }
)
"""The columns that a source fills."""

ROW_SCHEMA = pa.schema([pa.field("id", pa.string()), pa.field("content_id", pa.string()), *SOURCE_SCHEMA])
"""A row: `id` stands for text and label, `content_id` for the normalised text (null where it is blank)."""

CHUNK = 65_536  # rows held at once, and rows of a Parquet row group


def make_rows(
    text: object,
    label: object,
    *,
    text_pair: object = None,
    source: object = "",
    batch: object = "",
    timestamp: object = None,
    side: object = None,
    extra: object = None,
    fault: object = None,
) -> pa.Table:
    """Return a table of `SOURCE_SCHEMA` from sequences or Arrow arrays [rows]; a single value is repeated."""
    columns = [text, text_pair, label, source, batch, timestamp, side, extra, fault]
    rows = len(text)  # type: ignore[arg-type]

    def column(values: object, kind: pa.DataType) -> object:
        if values is None or isinstance(values, str):
            return pa.repeat(pa.scalar(values, kind), rows)
        if isinstance(values, pa.Array | pa.ChunkedArray):
            return values.cast(kind)
        return pa.array(values, kind)

    return pa.table(
        [column(values, field.type) for values, field in zip(columns, SOURCE_SCHEMA, strict=True)],
        schema=SOURCE_SCHEMA,
    )
