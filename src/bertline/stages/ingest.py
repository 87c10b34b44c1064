"""Read the source into one canonical table of rows, in the order of the source.

Rows keep the order of their source (not sorted by id) so that the first of several duplicates is the
first a person meets in the files, and a new file appends its rows behind those that were there. `split`
sorts by id, so later stages do not depend on this order. Rows of official test and validation files come
first, so that they win over their duplicates elsewhere.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from bertline.corpus.duplicates import drop_duplicates
from bertline.corpus.relational import scratch_folder
from bertline.corpus.rows import LABEL_SEPARATOR, Identifier, write_rows
from bertline.corpus.sources import FileReport, read_source
from bertline.params.ingest import Params
from bertline.params.loading import load_params
from bertline.stages.command import run


def ingest(*, rows: Path, report: Path) -> None:
    """Read the source into one canonical table; drop and count exact duplicates."""
    params = load_params(Params)
    reading = read_source(params)
    multi_label = params.label_separator is not None
    labels: Counter[str] = Counter()
    with scratch_folder() as folder:
        everything = folder / "rows.parquet"
        identify = Identifier().identify
        lines_in = write_rows(map(identify, reading), everything)
        unique = _count_labels(drop_duplicates(everything, multi_label=multi_label), labels)
        rows_out = write_rows(unique, rows, multi_label=multi_label)
    assert lines_in == sum(file.rows for file in reading.files)
    summary = {
        "lines_in": lines_in,
        "duplicates": lines_in - rows_out,
        "rows_out": rows_out,
        "faults": sum(file.faults for file in reading.files),
        "files": [asdict(file) for file in reading.files],
        "labels": dict(sorted(labels.items())),
    }
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    for line in _describe(reading.files):
        print(line)
    print(f"{lines_in} rows read from {params.source}")
    print(f"{lines_in - rows_out} exact duplicates dropped, {rows_out} rows written to {rows}")


def _count_labels(tables: Iterable[pa.Table], labels: Counter[str]) -> Iterator[pa.Table]:
    """Pass tables on and count their labels, each of several by itself; null counts as no label."""
    for table in tables:
        counts = pc.value_counts(table["label"].fill_null("")).to_pylist()
        for each in counts:
            for label in each["values"].split(LABEL_SEPARATOR):
                labels[label] += each["counts"]
        yield table


def _describe(files: list[FileReport]) -> Iterator[str]:
    """Yield a line for each file with which something was out of the ordinary."""
    for file in files:
        notes = []
        if file.encoding not in {None, "utf-8"} and not file.path.startswith("sample:"):
            notes.append(f"read as {file.encoding}")
        if file.replaced:
            notes.append(f"characters replaced by U+FFFD: {file.replaced}")
        if file.faults:
            notes.append(f"faults: {file.faults} (validate sets them aside)")
        if file.repaired_quotes:
            notes.append(f"quotes or delimiters repaired: {file.repaired_quotes}")
        if notes:
            yield f"{file.path}: {'; '.join(notes)}"


if __name__ == "__main__":
    run(ingest)
