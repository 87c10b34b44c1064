"""Read the source into one canonical table of rows, in the order of the source.

Rows keep the order of their source (not sorted by id) so that the first of several duplicates is the
first a person meets in the files, and a new file appends its rows behind those that were there. `split`
sorts by id, so later stages do not depend on this order. Rows of official test and validation files come
first, so that they win over their duplicates elsewhere.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from bertline.core.files import write_json
from bertline.core.params_loading import load_params
from bertline.params.ingest import Params
from bertline.rows.duckdb_query import scratch_folder
from bertline.rows.duplicates import drop_duplicates
from bertline.rows.io import write_rows
from bertline.rows.labels import LabelSpace
from bertline.rows.text_key import IdAssigner
from bertline.stages.ingest.file_report import describe_dialects
from bertline.stages.ingest.source_reader import read_source
from bertline.stages.ingest.values import MISSING


def ingest(*, rows: Path, report: Path) -> None:
    """Read the source into one canonical table; drop and count exact duplicates."""
    params = load_params(Params)
    reader = read_source(params)
    space = reader.labels.space
    labels: Counter[str] = Counter()
    with scratch_folder() as folder:
        everything = folder / "rows.parquet"
        identify = IdAssigner().identify
        lines_in = write_rows(map(identify, reader), everything)
        unique = _count_labels(drop_duplicates(everything, space), space, labels)
        rows_out = write_rows(unique, rows, space=space)
    assert lines_in == sum(file.rows for file in reader.files)
    summary: dict[str, object] = {
        "lines_in": lines_in,
        "duplicates": lines_in - rows_out,
        "rows_out": rows_out,
        "faults": sum(file.faults for file in reader.files),
        "files": [file.to_json() for file in reader.files],
        "labels": dict(sorted(labels.items())),
    }
    if unused := reader.labels.unused_keys():
        summary["label_map_unused"] = unused
    report.parent.mkdir(parents=True, exist_ok=True)
    write_json(report, summary)
    for line in describe_dialects(reader.files):
        print(line)
    for file in reader.files:
        if notes := file.notes():
            print(f"{file.path}: {'; '.join(notes)}")
    for line in _warn_of_labels(labels, unused):
        print(line)
    print(f"{lines_in} rows read from {params.source}")
    print(f"{lines_in - rows_out} exact duplicates dropped, {rows_out} rows written to {rows}")


def _count_labels(tables: Iterable[pa.Table], space: LabelSpace, labels: Counter[str]) -> Iterator[pa.Table]:
    """Pass tables on and count their labels, each of several by itself; null counts as no label."""
    for table in tables:
        counts = pc.value_counts(table["label"].fill_null("")).to_pylist()
        for each in counts:
            for label in space.split(each["values"]) or [""]:
                labels[label] += each["counts"]
        yield table


def _warn_of_labels(labels: Counter[str], unused: list[str]) -> Iterator[str]:
    """Yield a line for what is probably a mistake: keys of the map that no row has, labels such as "nan"."""
    names = sorted(label for label in labels if label)
    if unused:
        keys = ", ".join(map(repr, unused))
        yield f"warning: ingest.label_map has keys that no row has: {keys}; {_name_some(names)}"
    for name in names:
        if name in MISSING:
            yield (
                f"warning: {labels[name]} rows have the label {name!r}, which often stands for a missing one;"
                " it counts as a class unless validate.labels lists the classes without it"
            )


def _name_some(names: list[str]) -> str:
    """Return the first labels of a source, for a message."""
    return f"the labels are: {', '.join(names[:10])}{', ...' * (len(names) > 10)}"
